"""A network that learnt with rounded products, in 8 bits: fewer decisions change than of one that did not."""

from __future__ import annotations

import functools

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from tests.export.derive.networks import model
from tests.export.derive.test_tools import answer

from onnxpress.core.arrays import Array
from onnxpress.export.derive.prepared import prepare
from onnxpress.export.derive.static_int8 import NARROW, StaticInt8
from onnxpress.training.fitting import loop
from onnxpress.training.fitting.loop import Examples, Fit
from onnxpress.training.settings import Training

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch
_SIZE, _CLASSES, _HIDDEN = 8, 12, 24
PATTERNS = np.random.default_rng(9).normal(size=(_CLASSES, _SIZE))
UNEVEN = np.geomspace(1, 5000, _HIDDEN, dtype=np.float32)
"""by which hidden channels are multiplied: the smallest ones are lost in the steps of the largest"""


def drawn(count: int, seed: int) -> tuple[Array, Array]:
    draw = np.random.default_rng(seed)
    y = draw.integers(0, _CLASSES, count)
    return (PATTERNS[y] + 0.3 * draw.normal(size=(count, _SIZE))).astype(np.float32), y


@functools.cache
def learnt(*, aware: bool) -> onnx.ModelProto:
    """Three dense layers with outliers between them, as the exporter would write them."""
    from torch import nn

    from onnxpress.training.pytorch import fit

    torch.set_num_threads(1)  # these networks are small: on a busy machine two threads mostly wait for each other

    class Uneven(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * torch.as_tensor(UNEVEN)

    def network() -> nn.Module:
        hidden = nn.Linear(_SIZE, _HIDDEN), nn.ReLU(), Uneven(), nn.Linear(_HIDDEN, _HIDDEN), nn.ReLU(), Uneven()
        return nn.Sequential(*hidden, nn.Linear(_HIDDEN, _CLASSES))

    training = Training(epochs=15, batch_size=64, learning_rate=3e-3, quantization_aware=aware)
    (x, y), (others, truth) = drawn(2000, 0), drawn(500, 1)
    fit.seed(training)
    found = network()
    job = Fit(
        train=Examples({"x": x}, y),
        validation=Examples({"x": others}, truth),
        training=training,
        loss="cross_entropy",
        on_epoch=lambda *_: None,
    )
    loop.run(fit.learner(found, job), job)
    state = {name: value.numpy() for name, value in fit.finished(found, network, {}).state_dict().items()}
    nodes, before = [], "x"
    for number in "036":
        out = "y" if number == "6" else f"h{number}"
        nodes.append(helper.make_node("Gemm", [before, f"{number}.weight", f"{number}.bias"], [out], transB=1))
        if out != "y":
            before = f"u{number}"
            nodes.append(helper.make_node("Relu", [out], [f"r{number}"]))
            nodes.append(helper.make_node("Mul", [f"r{number}", "uneven"], [before]))
    return model(nodes, {**state, "uneven": UNEVEN}, [_SIZE], [_CLASSES])


def in_8_bits(graph: onnx.ModelProto) -> onnx.ModelProto:
    """By the first candidate of products."""
    return StaticInt8(prepare(graph), {"x": drawn(256, 2)[0]}, together=True).quantized("min-max", operators=NARROW)


def test_fewer_decisions_change_and_more_are_right() -> None:
    x, y = drawn(3000, 3)
    flips, right = {}, {}
    for aware in (False, True):
        graph = learnt(aware=aware)
        before, after = (answer(one, {"x": x}).argmax(-1) for one in (graph, in_8_bits(graph)))
        flips[aware], right[aware] = np.mean(before != after), np.mean(after == y)
    assert flips[True] < 0.5 * flips[False]
    assert right[True] > right[False]


def test_its_weights_are_the_very_steps_of_the_version_in_8_bits() -> None:
    graph = learnt(aware=True)
    floats = {one.name: numpy_helper.to_array(one) for one in graph.graph.initializer}
    packed = {one.name: numpy_helper.to_array(one) for one in in_8_bits(graph).graph.initializer}
    for name in ("0.weight", "3.weight", "6.weight"):
        unpacked = packed[f"{name}_quantized"] * packed[f"{name}_scale"][:, None]
        np.testing.assert_allclose(unpacked, floats[name], atol=1e-6)

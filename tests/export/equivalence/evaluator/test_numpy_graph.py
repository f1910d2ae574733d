"""The graph in numpy says what the runtime says, operator by operator, and shows every tensor on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from onnxpress.export.equivalence.evaluator.numpy_graph import NotEvaluated, NumpyGraph  # noqa: E402
from onnxpress.serving.engine import Engine  # noqa: E402

RANDOM = np.random.default_rng(0)


def graph(nodes: list[Any], shape: list[Any], outputs: list[str], **constants: np.ndarray) -> onnx.ModelProto:
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def agree(model: onnx.ModelProto, x: np.ndarray) -> None:
    expected = Engine.load(model.SerializeToString(), self_test=False).run({"x": x})
    for dtype in (np.float32, np.float64):
        found = NumpyGraph(model, dtype).run({"x": x})
        for name, value in expected.items():
            assert found[name].dtype == dtype
            np.testing.assert_allclose(found[name], value, rtol=2e-4, atol=2e-5)


@settings(max_examples=60)
@given(
    group=st.sampled_from([1, 2]),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 2),
    pads=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    bias=st.booleans(),
)
def test_convolution(group: int, kernel: int, stride: int, dilation: int, pads: tuple[int, int], *, bias: bool) -> None:
    weights = {"w": RANDOM.standard_normal((6, 4 // group, kernel)).astype(np.float32)}
    if bias:
        weights["b"] = RANDOM.standard_normal(6).astype(np.float32)
    settings = {"group": group, "strides": [stride], "dilations": [dilation], "pads": list(pads)}
    node = helper.make_node("Conv", ["x", *weights], ["y"], kernel_shape=[kernel], **settings)
    agree(graph([node], ["batch", 4, 12], ["y"], **weights), RANDOM.standard_normal((2, 4, 12)).astype(np.float32))


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize(("operator", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
@pytest.mark.parametrize("lengths", [None, [5, 3]])
def test_recurrent_layers(operator: str, gates: int, direction: str, lengths: list[int] | None) -> None:
    directions = 2 if direction == "bidirectional" else 1
    constants: dict[str, np.ndarray] = {
        "w": RANDOM.standard_normal((directions, gates * 3, 4)).astype(np.float32),
        "r": RANDOM.standard_normal((directions, gates * 3, 3)).astype(np.float32),
        "b": RANDOM.standard_normal((directions, 2 * gates * 3)).astype(np.float32),
    }
    inputs = ["x", "w", "r", "b"]
    if lengths is not None:
        constants["lengths"] = np.array(lengths, np.int32)
        inputs.append("lengths")
    more = {"linear_before_reset": 1} if operator == "GRU" else {}
    node = helper.make_node(operator, inputs, ["y", "h"], hidden_size=3, direction=direction, **more)
    x = RANDOM.standard_normal((5, 2, 4)).astype(np.float32)
    agree(graph([node], ["time", "batch", 4], ["y", "h"], **constants), x)


def test_casts_and_constants_are_widened_and_half_stays_half() -> None:
    nodes = [
        helper.make_node("Constant", [], ["third"], value_float=1 / 3),
        helper.make_node("Mul", ["x", "third"], ["m"]),
        helper.make_node("Cast", ["m"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["f"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("Cast", ["half"], ["y"], to=TensorProto.FLOAT),
    ]
    seen = {}
    answers = NumpyGraph(graph(nodes, ["batch"], ["y"])).run(
        {"x": np.ones(1, np.float32)}, lambda place, node, name, value: seen.update({name: (place, value.dtype)})
    )
    assert answers["y"].dtype == np.float64
    assert float(answers["y"][0]) == float(np.float16(np.float32(1 / 3)))
    assert seen["half"] == (3, np.float16)
    assert seen["f"] == (2, np.float64)


def test_an_operator_that_is_not_known_is_told() -> None:
    node = helper.make_node("NoSuchThing", ["x"], ["y"])
    with pytest.raises(NotEvaluated, match="NoSuchThing"):
        NumpyGraph(graph([node], ["batch"], ["y"])).run({"x": np.ones(1, np.float32)})


@settings(max_examples=40)
@given(st.integers(0, 2), st.lists(st.integers(1, 4), min_size=3, max_size=3), st.integers(1, 6))
def test_gather_elements(axis: int, shape: list[int], size: int) -> None:
    data = RANDOM.standard_normal([length + 1 for length in shape]).astype(np.float32)
    picked = list(shape)
    picked[axis] = size
    indices = RANDOM.integers(-data.shape[axis], data.shape[axis], picked)
    node = helper.make_node("GatherElements", ["x", "i"], ["y"], axis=axis)
    agree(graph([node], list(data.shape), ["y"], i=indices), data)

"""Of faults planted in quantized graphs, at random places: how many of those that matter are found."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import onnx
from onnx import helper, numpy_helper
from tests.export.derive.networks import classifier, model, rows, weights
from tests.export.derive.test_rewriting import made
from tests.export.derive.test_tools import answer, convolutional, outlying

from onnxpress.core.arrays import Array
from onnxpress.core.manifest import SessionSettings
from onnxpress.export.derive.prepared import copied
from onnxpress.export.derive.rewriting import CUT, faults
from onnxpress.serving.engine import saturation

UNFUSED = saturation.unfused(SessionSettings())
_MATTERS = 1.0
"""floors of its own precision that the answers move by"""
Plant = Callable[[onnx.ModelProto, np.random.Generator], bool]


def tensors(graph: onnx.ModelProto, ending: str, *dtypes: str) -> list[onnx.TensorProto]:
    return [
        one
        for one in graph.graph.initializer
        if one.name.endswith(ending) and (not dtypes or numpy_helper.to_array(one).dtype.name in dtypes)
    ]


def put(tensor: onnx.TensorProto, value: Array) -> None:
    tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))


def wrong_scale(graph: onnx.ModelProto, draw: np.random.Generator) -> bool:
    """One scale, of a weight or of an activation, is another one."""
    tensor = draw.choice(tensors(graph, "_scale"))  # type: ignore[arg-type]
    put(tensor, numpy_helper.to_array(tensor) * np.float32(draw.choice([0.3, 0.5, 0.9, 1.1, 2.0, 4.0])))
    return True


def zero_point(graph: onnx.ModelProto, draw: np.random.Generator) -> bool:
    """Where an activation is unpacked, its zero point is off by one."""
    packed = {node.output[0] for node in graph.graph.node if node.op_type == "QuantizeLinear"}
    nodes = [one for one in graph.graph.node if one.op_type == "DequantizeLinear" and one.input[0] in packed]
    node = nodes[draw.integers(len(nodes))]
    zero = next(numpy_helper.to_array(one) for one in graph.graph.initializer if one.name == node.input[2])
    graph.graph.initializer.append(
        numpy_helper.from_array(zero + zero.dtype.type(1 if zero < 255 else -1), "off_by_one")
    )
    node.input[2] = "off_by_one"
    return True


def channel_axis(graph: onnx.ModelProto, draw: np.random.Generator) -> bool:
    """The scales of a weight lie along another axis."""
    shapes = {one.name: tuple(one.dims) for one in graph.graph.initializer}
    for node in graph.graph.node:
        shape = shapes.get(node.input[0], ()) if node.op_type == "DequantizeLinear" else ()
        axes = [one for one in node.attribute if one.name == "axis"]
        if len(shape) > 1 and axes and shape[0] == shape[1]:
            axes[0].i = 1 - axes[0].i
            return True
    return False


def saturated_bias(graph: onnx.ModelProto, draw: np.random.Generator) -> bool:
    """A bias is cut off at a part of its range."""
    biases = tensors(graph, "_quantized", "int32")
    if not biases:
        return False
    value = numpy_helper.to_array(biases[0])
    most = int(np.abs(value).max() * draw.choice([0.1, 0.5, 0.8]))
    put(biases[0], np.clip(value, -most, most))
    return True


def swapped(graph: onnx.ModelProto, draw: np.random.Generator) -> bool:
    """Two weights of one shape change places."""
    weights = tensors(graph, "_quantized", "int8")
    pairs = [(a, b) for a in weights for b in weights if a.name < b.name and a.dims == b.dims]
    if not pairs:
        return False
    one, other = pairs[draw.integers(len(pairs))]
    before = numpy_helper.to_array(one).copy()
    put(one, numpy_helper.to_array(other))
    put(other, before)
    return True


def square() -> onnx.ModelProto:
    """16 values through three layers of one shape, whose channels have sizes of their own, and biases that count."""
    nodes, constants, before = [], {}, "x"
    sizes = np.geomspace(0.2, 4, 16, dtype=np.float32)
    for number, after in enumerate(("p", "q", "y")):
        names = [f"w{number}", f"b{number}"]
        nodes.append(helper.make_node("Gemm", [before, *names], [f"{after}_sum"], transB=1))
        nodes.append(helper.make_node("LeakyRelu", [f"{after}_sum"], [after]))
        constants[names[0]] = weights(16, 16, seed=number) * sizes[:, None]
        constants[names[1]] = weights(16, seed=9 + number) * 8
        before = after
    return model(nodes, constants, [16], [16])


def planted() -> Iterator[tuple[str, bool, float]]:
    """Of each fault its kind, whether it is found, and by how many floors the answers move."""
    draw = np.random.default_rng(0)
    plants: list[Plant] = [wrong_scale, zero_point, channel_axis, saturated_bias, swapped]
    for graph, x in (
        (square(), rows(120, 16)),
        (classifier(), rows(120, 16)),
        (convolutional(), rows(48, 3, 8, 8)),
        (outlying(), rows(120, 32)),
    ):
        prepared, quantized = made(graph, x)
        # Unfused: a fused product takes its scales along the axis that it knows, whatever the graph says.
        sound = answer(quantized, {"x": x}, UNFUSED)
        floor = np.sqrt(np.mean((sound - answer(graph, {"x": x})) ** 2))
        for plant in plants:
            for _ in range(10 if plant is wrong_scale else 4):
                faulty = copied(quantized)
                if plant(faulty, draw):
                    moved = np.sqrt(np.mean((answer(faulty, {"x": x}, UNFUSED) - sound) ** 2)) / floor
                    yield plant.__name__, bool(faults(prepared, faulty, [{"x": x}], cut=CUT["min-max"])), float(moved)


def test_of_the_faults_that_matter_nearly_all_are_found() -> None:
    every = list(planted())
    matter = [(kind, found) for kind, found, moved in every if moved > _MATTERS]
    assert {kind for kind, _ in matter} == {"wrong_scale", "zero_point", "channel_axis", "saturated_bias", "swapped"}
    assert len(matter) >= 25
    missed = [kind for kind, found in matter if not found]
    assert len(missed) <= 0.05 * len(matter), missed

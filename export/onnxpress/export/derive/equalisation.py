"""Outliers of activations moved into the weights that take them, before both are quantized.

One channel that is a hundred times the others takes the whole range of an activation, and leaves the others no bits. It
is divided by s, and the rows of the weight that it meets are multiplied by s, which says the same in float. After Xiao
et al., SmoothQuant, ICML 2023: s = max|x|^0.5 / max|w|^0.5. It is divided where it is made, which costs nothing: in the
scale and bias of a LayerNormalization, or in the weights of a product that only a ReLU or a pooling follows (Nagel et
al., ICCV 2019). Elsewhere nothing is done.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.export.derive import intermediates
from onnxpress.export.derive.prepared import copied
from onnxpress.export.graph.editing import captured, drop_unused

if TYPE_CHECKING:
    import onnx

_OUTLIER = 4.0
"""times the median channel: what is flatter than this stays as it is"""
_LEAST = 1e-5
_PROPORTIONAL = ("Relu", "LeakyRelu", "Identity")
"""operators that answer s times as much to s times as much"""
_POOLINGS = ("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool")
"""so do these, channel by channel, where channels are the second axis"""
_Constant = tuple["onnx.NodeProto", int, int]
"""the node that takes it, which of its inputs it is, and the constant's axis of channels"""


@dataclass(frozen=True)
class _Place:
    """An activation, the constants that make its channels, and those that take them."""

    name: str
    axis: int
    """of its channels"""
    makers: list[_Constant]
    takers: list[_Constant]
    normed: bool
    """made by a normalization: no channel of it is ever much smaller than on the rows of the calibration"""


def equalised(graph: onnx.ModelProto, feeds: Mapping[str, Array]) -> onnx.ModelProto | None:
    """A copy of a prepared graph that says the same in float; None where no activation has outliers that can go."""
    import onnx

    found = copied(graph)
    constants = {tensor.name: tensor for tensor in found.graph.initializer}
    places = list(_places(found.graph, constants))
    if not places:
        return None
    values = intermediates.each(graph, [place.name for place in places], feeds)
    changed = False
    for place in places:
        x = np.moveaxis(np.abs(values[place.name]), place.axis, -1)
        x = x.reshape(-1, x.shape[-1]).max(0)
        if x.max() < _OUTLIER * max(float(np.median(x)), _LEAST):
            continue
        weights = {node.input[number]: axis for node, number, axis in place.takers}
        arrays = [np.moveaxis(onnx.numpy_helper.to_array(constants[name]), axis, 0) for name, axis in weights.items()]
        w = np.max([np.abs(array).reshape(len(array), -1).max(1) for array in arrays], axis=0)
        s = np.sqrt(np.maximum(x, _LEAST)) / np.sqrt(np.maximum(w, _LEAST))
        s = s / np.exp(np.log(s).mean()) if place.normed else np.maximum(s / np.median(s), 1.0)
        for role, factor, of in (("made", 1 / s, place.makers), ("taken", s, place.takers)):
            for node, number, axis in of:
                new = f"{node.input[number]}_equalised_as_{place.name}_is_{role}"
                node.input[number] = _again(found.graph, node.input[number], new, factor, axis, constants)
        changed = True
    if not changed:
        return None
    drop_unused(found.graph)
    return found


def _places(graph: onnx.GraphProto, constants: Mapping[str, onnx.TensorProto]) -> Iterator[_Place]:
    outputs = {value.name for value in graph.output}.union(*map(captured, graph.node))
    followers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            followers.setdefault(name, []).append(node)
    for node in graph.node:
        makers = _makers(node, constants)
        name = node.output[0]
        while makers and name not in outputs and (after := followers.get(name)):
            takers = [_taker(one, name, constants) for one in after]
            if all(takers):
                convolved = node.op_type == "Conv"
                if all((one.op_type == "Conv") == convolved for one in after):  # else the channels are another axis
                    sure = [one for one in takers if one]
                    yield _Place(name, 1 if convolved else -1, makers, sure, node.op_type == "LayerNormalization")
                break
            if len(after) > 1 or node.op_type == "LayerNormalization":
                break
            if node.op_type == "MatMul" and (bias := _bias(after[0], name, constants)):
                makers.append(bias)
            elif after[0].op_type not in _PROPORTIONAL + (_POOLINGS if node.op_type == "Conv" else ()):
                break
            name = after[0].output[0]


def _makers(node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]) -> list[_Constant]:
    """The constants of a node that every channel of its output is proportional to; none where there are none."""
    turned = _setting(node, "transB")
    axis = {"LayerNormalization": 0, "Conv": 0, "Gemm": 0 if turned else 1, "MatMul": 1}.get(node.op_type)
    given = [number for number, name in enumerate(node.input) if number and name]
    if axis is None or not all(node.input[number] in constants for number in given):
        return []
    ranks = {number: len(constants[node.input[number]].dims) for number in given}
    if node.op_type in ("Gemm", "MatMul") and ranks.get(1) != 2:
        return []
    channels = constants[node.input[1]].dims[axis]
    if any(list(constants[node.input[number]].dims) != [channels] for number in given if number > 1):
        return []
    return [(node, number, axis if number == 1 else 0) for number in given]


def _bias(node: onnx.NodeProto, name: str, constants: Mapping[str, onnx.TensorProto]) -> _Constant | None:
    """Of an Add behind a MatMul, the constant."""
    number = 1 - list(node.input).index(name) if node.op_type == "Add" else 0
    if node.op_type != "Add" or node.input[number] not in constants or len(constants[node.input[number]].dims) != 1:
        return None
    return node, number, 0


def _taker(node: onnx.NodeProto, name: str, constants: Mapping[str, onnx.TensorProto]) -> _Constant | None:
    """The weight by which a product takes the activation."""
    if list(node.input).count(name) > 1 or node.input[0] != name or len(node.input) < 2:
        return None
    tensor = constants.get(node.input[1])
    if tensor is None or (node.op_type in ("MatMul", "Gemm") and len(tensor.dims) != 2):
        return None
    if node.op_type == "Conv":
        return (node, 1, 1) if _setting(node, "group", 1) == 1 else None
    if node.op_type == "Gemm":
        # With transA, what it takes has its channels first.
        return None if _setting(node, "transA") else (node, 1, 1 if _setting(node, "transB") else 0)
    return (node, 1, 0) if node.op_type == "MatMul" else None


def _setting(node: onnx.NodeProto, name: str, default: int = 0) -> int:
    return next((one.i for one in node.attribute if one.name == name), default)


def _again(
    graph: onnx.GraphProto, name: str, new: str, factor: Array, axis: int, constants: dict[str, onnx.TensorProto]
) -> str:
    """The constant times the factor along an axis, under a new name: others may use the old one."""
    import onnx

    if new not in constants:
        value = onnx.numpy_helper.to_array(constants[name])
        shape = [-1 if number == axis else 1 for number in range(value.ndim)]
        tensor = onnx.numpy_helper.from_array((value * factor.reshape(shape)).astype(value.dtype), new)
        graph.initializer.append(tensor)
        constants[new] = tensor
    return new

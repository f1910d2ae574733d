"""Outliers of activations moved into the weights that take them, before both are quantized.

One channel that is a hundred times the others takes the whole range of an activation, and leaves the others no bits. It
is divided by s, and the rows of the weight that it meets are multiplied by s, which says the same in float. After Xiao
et al., SmoothQuant, ICML 2023: s = max|x|^0.5 / max|w|^0.5. Where a LayerNormalization makes the activation, s goes
into its scale and bias and costs nothing; elsewhere nothing is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.export.derive import intermediates
from onnxpress.export.derive.prepared import copied

if TYPE_CHECKING:
    import onnx

_OUTLIER = 4.0
"""times the median channel: what is flatter than this stays as it is"""
_LEAST = 1e-5


def equalised(graph: onnx.ModelProto, feeds: Mapping[str, Array]) -> onnx.ModelProto | None:
    """A copy of a prepared graph that says the same in float; None where no activation has outliers that can go."""
    import onnx

    found = copied(graph)
    constants = {tensor.name: tensor for tensor in found.graph.initializer}
    outputs = {value.name for value in found.graph.output}
    takers: dict[str, list[onnx.NodeProto]] = {}
    for node in found.graph.node:
        for name in node.input:
            takers.setdefault(name, []).append(node)
    candidates = [
        node
        for node in found.graph.node
        if node.op_type == "LayerNormalization"
        and all(name in constants for name in node.input[1:])
        and node.output[0] not in outputs
        and all(_multiplies(taker, node.output[0], constants) for taker in takers.get(node.output[0], []))
        and takers.get(node.output[0])
    ]
    if not candidates:
        return None
    values = intermediates.each(graph, [node.output[0] for node in candidates], feeds)
    changed = False
    for node in candidates:
        x = np.abs(values[node.output[0]].reshape(-1, values[node.output[0]].shape[-1])).max(0)
        if x.max() < _OUTLIER * max(float(np.median(x)), _LEAST):
            continue
        weights = {taker.input[1] for taker in takers[node.output[0]]}
        arrays = {name: onnx.numpy_helper.to_array(constants[name]) for name in weights}
        w = np.max([np.abs(array).max(1) for array in arrays.values()], axis=0)
        s = np.sqrt(np.maximum(x, _LEAST)) / np.sqrt(np.maximum(w, _LEAST))
        s = (s / np.exp(np.log(s).mean())).astype(np.float32)
        for place in (1, 2):
            if len(node.input) > place:
                node.input[place] = _again(found.graph, node.input[place], node.name, 1 / s, constants)
        for taker in takers[node.output[0]]:
            taker.input[1] = _again(found.graph, taker.input[1], node.name, s[:, None], constants)
        changed = True
    return found if changed else None


def _multiplies(node: onnx.NodeProto, name: str, constants: Mapping[str, onnx.TensorProto]) -> bool:
    return (
        node.op_type == "MatMul"
        and node.input[0] == name
        and node.input[1] in constants
        and len(constants[node.input[1]].dims) == 2
    )


def _again(graph: onnx.GraphProto, name: str, place: str, factor: Array, constants: dict[str, onnx.TensorProto]) -> str:
    """The constant times the factor, under a new name: others may use the old one."""
    import onnx

    new = f"{name}_equalised_{place}"
    if new not in constants:
        tensor = onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(constants[name]) * factor, new)
        graph.initializer.append(tensor)
        constants[new] = tensor
    return new

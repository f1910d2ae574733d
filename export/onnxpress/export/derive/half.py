"""16 bits: computed in float16 with islands in float32, or only stored so and computed in float32."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.export.derive import intermediates
from onnxpress.export.derive.prepared import copied, rebuild
from onnxpress.export.derive.static_int8 import quietly

if TYPE_CHECKING:
    import onnx

_LARGEST = float(np.finfo(np.float16).max)
_SPARE = 4.0
"""other rows may be larger than those that were asked"""
_SMALLEST_WEIGHT = 256
"""elements; smaller constants are shapes, scales and epsilons"""


def converted(graph: onnx.ModelProto, *, keep: Collection[str] = ()) -> onnx.ModelProto:
    """A copy that computes in float16; inputs and outputs stay float32, as do the nodes named in `keep`.

    Resize takes its scales in float32, and a Cast to float32 would be left saying so: both are islands.
    """
    from onnxruntime.quantization.onnx_model import ONNXModel
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    with quietly():
        found = convert_float_to_float16(
            copied(graph),
            keep_io_types=True,
            op_block_list=[*DEFAULT_OP_BLOCK_LIST, "Resize", "Cast"],
            node_block_list=list(keep),
        )
        _join_islands(found.graph, {node.name for node in graph.graph.node})
        model = ONNXModel(found)
        model.topological_sort()  # it puts its casts last
    result: onnx.ModelProto = model.model
    return result


def _join_islands(graph: onnx.GraphProto, own: set[str]) -> None:
    """Between two nodes in float32 the converter casts to float16 and back, where what is too large is lost again."""
    import onnx

    casts = {
        node.output[0]: (node.input[0], next(one.i for one in node.attribute if one.name == "to"))
        for node in graph.node
        if node.op_type == "Cast" and node.name not in own
    }
    past = {
        output: casts[source][0]
        for output, (source, kind) in casts.items()
        if kind == onnx.TensorProto.FLOAT and source in casts and casts[source][1] == onnx.TensorProto.FLOAT16
    }
    for node in graph.node:
        node.input[:] = [past.get(name, name) for name in node.input]
    outputs = {value.name for value in graph.output}
    used = {name for node in graph.node for name in node.input} | outputs
    while unused := [node for node in graph.node if node.output[0] in casts and node.output[0] not in used]:
        for node in unused:
            graph.node.remove(node)
        used = {name for node in graph.node for name in node.input} | outputs


def islands(graph: onnx.ModelProto, feeds: Mapping[str, Array]) -> list[str]:
    """Names of the nodes that float16 cannot hold: what goes in or comes out is too large on these rows."""
    import onnx

    names = [name for node in graph.graph.node for name in node.output if name]
    size = intermediates.largest(graph, names, feeds)
    for name, value in feeds.items():
        if value.dtype.kind == "f":
            size[name] = float(np.abs(value[np.isfinite(value)]).max(initial=0.0))
    for tensor in graph.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            value = np.abs(onnx.numpy_helper.to_array(tensor))
            size[tensor.name] = float(value[np.isfinite(value)].max(initial=0.0))
    constants = {tensor.name for tensor in graph.graph.initializer}

    def too_large(name: str) -> bool:
        return size.get(name, 0.0) * (1.0 if name in constants else _SPARE) > _LARGEST

    return [node.name for node in graph.graph.node if any(map(too_large, [*node.input, *node.output]))]


def with_weights(graph: onnx.ModelProto) -> list[str]:
    """Names of the nodes that take constants worth fewer bits."""
    large = _large(graph)
    return [node.name for node in graph.graph.node if not large.isdisjoint(node.input)]


def _large(graph: onnx.ModelProto) -> set[str]:
    import onnx

    return {
        tensor.name
        for tensor in graph.graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT and int(np.prod(tensor.dims)) >= _SMALLEST_WEIGHT
    }


def stored(
    graph: onnx.ModelProto, dtype: Literal["float16", "bfloat16"], *, keep: Collection[str] = ()
) -> onnx.ModelProto:
    """A copy whose weights are stored in 16 bits and cast when it is loaded: half the file, the same computation.

    What the nodes named in `keep` take stays as it is.
    """
    import onnx

    found = copied(graph)
    kind = onnx.TensorProto.FLOAT16 if dtype == "float16" else onnx.TensorProto.BFLOAT16
    large, casts, kept = _large(graph), [], []
    large.difference_update(*(node.input for node in graph.graph.node if node.name in keep))
    for tensor in found.graph.initializer:
        if tensor.name not in large:
            kept.append(tensor)
            continue
        value = onnx.numpy_helper.to_array(tensor)
        if dtype == "float16" and float(np.abs(value).max(initial=0.0)) > _LARGEST:
            kept.append(tensor)
            continue
        name = f"{tensor.name}_{dtype}"
        kept.append(_in_16_bits(value, name, kind))
        casts.append(
            onnx.helper.make_node("Cast", [name], [tensor.name], name=f"{name}_cast", to=onnx.TensorProto.FLOAT)
        )
    rebuild(found.graph, [*casts, *found.graph.node], kept)
    return found


def _in_16_bits(value: Array, name: str, kind: int) -> onnx.TensorProto:
    import onnx

    if kind == onnx.TensorProto.FLOAT16:
        return onnx.numpy_helper.from_array(value.astype(np.float16), name)
    bits = np.ascontiguousarray(value, np.float32).view(np.uint32)
    # To the nearest, ties to even: half of what is cut off is added, and the last bit that stays.
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    tensor = onnx.TensorProto(name=name, data_type=kind, dims=list(value.shape))
    tensor.raw_data = rounded.tobytes()
    return tensor

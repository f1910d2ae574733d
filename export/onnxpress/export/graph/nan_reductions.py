"""Maxima and minima that answer NaN where they are asked about one, as the frameworks' do.

ONNX Runtime 1.31's ReduceMax, ReduceMin, ArgMax, ArgMin and MaxPool pass over a NaN, as often as its place in the lanes
allows. Beside such a node stands the same one over where its input is NaN; its answer decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx

_VALUES = frozenset({"ReduceMax", "ReduceMin", "MaxPool", "GlobalMaxPool"})
_PLACES = frozenset({"ArgMax", "ArgMin"})
_LARGE = 200_000_000
"""bytes of a graph whose types are not inferred again, which would copy its weights"""


def with_nan(proto: onnx.ModelProto) -> onnx.ModelProto | None:
    """A copy whose maxima and minima answer NaN; None where it has none, or its types are not known."""
    import onnx

    known = _float_types(proto)
    if not known:
        return None
    made = onnx.ModelProto()
    made.CopyFrom(proto)
    del made.graph.node[:]
    for place, node in enumerate(proto.graph.node):
        if node.output[0] in known:
            made.graph.node.extend(_guarded(node, known[node.output[0]], f"nan/{place}"))
        else:
            made.graph.node.append(node)
    for dtype in set(known.values()):
        value = np.asarray(np.nan, onnx.helper.tensor_dtype_to_np_dtype(dtype))
        made.graph.initializer.append(onnx.numpy_helper.from_array(value, f"nan/value/{dtype}"))
    made.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(0, np.float32), "nan/zero"))
    return made


def _float_types(proto: onnx.ModelProto) -> dict[str, int]:
    """The first output of each node in question → the element type of the floats that it takes."""
    import onnx

    asked = [node for node in proto.graph.node if node.op_type in _VALUES | _PLACES and len(node.output) == 1]
    standard = all(node.domain in ("", "ai.onnx") for node in proto.graph.node)
    if not asked or not standard or proto.ByteSize() > _LARGE:
        return {}
    try:
        graph = onnx.shape_inference.infer_shapes(proto).graph
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):
        return {}
    types = {value.name: value.data_type for value in graph.initializer}
    types |= {value.name: value.type.tensor_type.elem_type for value in (*graph.input, *graph.value_info)}
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)
    return {node.output[0]: types[node.input[0]] for node in asked if types.get(node.input[0]) in floats}


def _guarded(node: onnx.NodeProto, dtype: int, name: str) -> Iterator[onnx.NodeProto]:
    """The node, the same over where its input is NaN, and the choice between both. All keep the node's layer."""
    import onnx

    def made(operator: str, inputs: list[str], output: str, **attributes: int | list[int]) -> onnx.NodeProto:
        new = onnx.helper.make_node(operator, inputs, [f"{name}/{output}"], name=f"{name}/{output}", **attributes)
        new.metadata_props.extend(node.metadata_props)
        return new

    def like(operator: str, source: str, output: str) -> onnx.NodeProto:
        new = onnx.NodeProto()
        new.CopyFrom(node)
        new.op_type, new.name = operator, f"{name}/{output}"
        new.input[0], new.output[0] = source, f"{name}/{output}"
        return new

    highest = {"ReduceMin": "ReduceMax", "ArgMin": "ArgMax"}.get(node.op_type, node.op_type)
    yield made("IsNaN", [node.input[0]], "where")
    yield made("Cast", [f"{name}/where"], "number", to=onnx.TensorProto.FLOAT)
    yield like(node.op_type, node.input[0], "answer")
    if node.op_type in _PLACES:
        axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
        keeps = next((attribute.i for attribute in node.attribute if attribute.name == "keepdims"), 1)
        yield like(highest, f"{name}/number", "place")
        # A sum, as its axes are an input since opset 13.
        yield made("Constant", [], "axes", value_ints=[axis])
        yield made("ReduceSum", [f"{name}/number", f"{name}/axes"], "some", keepdims=keeps)
        other = f"{name}/place"
    else:
        yield like(highest, f"{name}/number", "some")
        other = f"nan/value/{dtype}"
    yield made("Greater", [f"{name}/some", "nan/zero"], "chosen")
    last = made("Where", [f"{name}/chosen", other, f"{name}/answer"], "chosen")
    last.output[0], last.name = node.output[0], node.name
    yield last

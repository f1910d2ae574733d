"""Whether a graph computes in float64: from its inputs, its constants or a cast."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxpress.export.graph.editing import nodes

if TYPE_CHECKING:
    import onnx


def computes_in_float64(graph: onnx.ModelProto) -> bool:
    """True also of a graph that does so in a part. An input in float64 that is only cast to another type is none."""
    from onnx import TensorProto

    main = graph.graph
    if any(initializer.data_type == TensorProto.DOUBLE for initializer in main.initializer):
        return True
    wide = {value.name for value in main.input if value.type.tensor_type.elem_type == TensorProto.DOUBLE}
    for node in nodes(main):
        if node.op_type == "Cast":
            if any(attribute.name == "to" and attribute.i == TensorProto.DOUBLE for attribute in node.attribute):
                return True
        elif wide & set(node.input) or any(attribute.t.data_type == TensorProto.DOUBLE for attribute in node.attribute):
            return True
    return False

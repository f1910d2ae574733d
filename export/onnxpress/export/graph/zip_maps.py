"""scikit-learn's ZipMap at the end of a graph, taken out: its labels are kept, and its tensor is the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx


def unwrap(proto: onnx.ModelProto) -> dict[str, list[str]]:
    """Make each ZipMap that a graph output comes from an Identity, in place; output name → its labels in order."""
    import onnx

    answers = {value.name: value for value in proto.graph.output}
    found: dict[str, list[str]] = {}
    for node in proto.graph.node:
        if node.op_type != "ZipMap" or node.domain != "ai.onnx.ml" or node.output[0] not in answers:
            continue
        labels = [
            one.decode() if isinstance(one, bytes) else str(one)
            for attribute in node.attribute
            for one in (*attribute.strings, *attribute.ints)
        ]
        found[node.output[0]] = labels
        made = onnx.helper.make_node("Identity", [node.input[0]], [node.output[0]], name=node.name)
        node.CopyFrom(made)
        columns = len(labels) or None
        answers[made.output[0]].CopyFrom(
            onnx.helper.make_tensor_value_info(made.output[0], onnx.TensorProto.FLOAT, [None, columns])
        )
    return found

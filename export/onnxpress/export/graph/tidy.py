"""The converted graph made presentable: the author's names, named dimensions, no local paths, no training leftovers."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from onnxpress.export.graph.editing import nodes
from onnxpress.export.graph.layer_notes import LAYER, SOURCE, layer_of, source_of
from onnxpress.export.graph.opset import MAX_IR_VERSION

if TYPE_CHECKING:
    import onnx


def tidy(proto: onnx.ModelProto, *, metadata: dict[str, str], layers: Collection[str] = ()) -> None:
    """Strip what is local to this machine and stale, keep each node's layer and line, and set the model's own metadata.

    `layers` are the names of the framework's layers, where it has a list of them.
    """
    import onnx

    for node in nodes(proto.graph):
        notes = {LAYER: layer_of(node, layers), SOURCE: source_of(node)}
        del node.metadata_props[:]
        node.doc_string = ""
        for key, text in notes.items():
            if text is not None:
                node.metadata_props.append(onnx.StringStringEntryProto(key=key, value=text))
    graph = proto.graph
    del graph.value_info[:]  # the runtime infers it again; converters leave stale dimension names in it
    del graph.metadata_props[:]
    for value in (*graph.input, *graph.output, *graph.initializer):
        del value.metadata_props[:]
        value.doc_string = ""
    graph.name, graph.doc_string, proto.doc_string = "main", "", ""
    del proto.metadata_props[:]
    for key, text in sorted(metadata.items()):
        proto.metadata_props.append(onnx.StringStringEntryProto(key=key, value=text))
    proto.producer_name, proto.producer_version = "onnxpress", ""
    proto.ir_version = min(proto.ir_version, MAX_IR_VERSION)
    used = {node.domain for node in nodes(graph)} | {function.domain for function in proto.functions} | {""}
    kept = [opset for opset in proto.opset_import if opset.domain in used]
    del proto.opset_import[:]
    proto.opset_import.extend(kept)

"""A reader of ONNX files that needs neither the onnx package nor a runtime.

It reads protobuf's wire format in place: a file is mapped, weights are passed over by their length, attributes are read
when they are asked for. The time is linear in the number of messages that are not weights; memory is that of the nodes.
What is malformed raises BadModel. A singular message that occurs twice, which protobuf would merge, is refused: no
writer makes such a file, and two readers could see two models in it.
"""

from __future__ import annotations

from onnxpress.core.onnx_graph.graph import Attribute, Attributes, Graph, Node, ValueInfo
from onnxpress.core.onnx_graph.model import Function, Model, held, mapped, open_model
from onnxpress.core.onnx_graph.tensor import DTYPES, Tensor
from onnxpress.core.onnx_graph.wire import Buffer, fields

__all__ = [
    "DTYPES",
    "Attribute",
    "Attributes",
    "Buffer",
    "Function",
    "Graph",
    "Model",
    "Node",
    "Tensor",
    "ValueInfo",
    "fields",
    "held",
    "mapped",
    "open_model",
]

"""Outputs that a graph's last operators keep between two bounds, and how exact the runtime is there.

ONNX Runtime's CPU Sigmoid is exact to 6e-8 absolutely, not relatively: near 0 it answers 0 where the framework says
1e-9 (docs/adr/0002-limits-of-equivalence.md). Who reads a probability reads it on its own scale. So the floor of such
an output is at least its type's epsilon times its range. An output that was divided, or whose logarithm was taken,
after the bounded operator is not bounded: such tails matter, and its floor stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

_RANGES = {"Sigmoid": 1.0, "HardSigmoid": 1.0, "Softmax": 1.0, "Tanh": 2.0, "Softsign": 2.0}
_KEEPS = frozenset(
    {
        "Identity",
        "Cast",
        "Reshape",
        "Squeeze",
        "Unsqueeze",
        "Flatten",
        "Transpose",
        "Slice",
        "Gather",
        "Split",
        "Expand",
    }
    | {"Expand", "ReduceMax", "ReduceMin", "ReduceMean", "MaxPool", "GlobalMaxPool", "AveragePool", "GlobalAveragePool"}
)
"""operators whose output lies between the smallest and the largest value of their first input"""
_CLASSIFIERS = frozenset({"LinearClassifier", "SVMClassifier", "TreeEnsembleClassifier"})
"""operators of `ai.onnx.ml` that give a label and then scores, which their `post_transform` bounds"""
_JOINS = frozenset({"Concat", "Max", "Min", "Where"})
"""the same of all their inputs (of Where: of the two that it chooses from)"""


def ranges(graph: onnx.ModelProto) -> dict[str, float]:
    """Output name → the width of its range, for outputs that are bounded."""
    widths: dict[str, float] = {}
    constant = _constants(graph.graph)
    shares: set[str] = set()
    """tensors whose rows sum to one: dividing by that sum changes nothing"""
    for node in graph.graph.node:
        width: float | None = None
        if node.op_type in _RANGES and node.domain in ("", "ai.onnx"):
            width = _RANGES[node.op_type]
            shares |= set(node.output) if node.op_type == "Softmax" else set()
        elif node.op_type in _CLASSIFIERS and len(node.output) > 1:
            transform, classes = _post_transform(node)
            if transform in ("SOFTMAX", "LOGISTIC", "PLATT"):
                widths[node.output[1]] = 1.0
                shares |= {node.output[1]} if transform == "SOFTMAX" or classes == 1 else set()
        elif (node.op_type in _KEEPS and node.input) or (node.op_type == "Normalizer" and node.input[0] in shares):
            width = widths.get(node.input[0])
        elif node.op_type in _JOINS:
            inputs = list(node.input)[1:] if node.op_type == "Where" else list(node.input)
            known = [widths.get(name) for name in inputs]
            width = None if None in known else max(filter(None, known), default=None)
        elif node.op_type == "Sub" and len(node.input) == 2 and constant.get(node.input[0]) == 1.0:
            width = widths.get(node.input[1])  # 1 - p
        if width is not None:
            widths.update(dict.fromkeys(node.output, width))
    return {value.name: widths[value.name] for value in graph.graph.output if value.name in widths}


def _post_transform(node: onnx.NodeProto) -> tuple[str, int]:
    """How a classifier bounds its scores, and for how many classes it has scores of its own."""
    transform, classes = "NONE", 0
    for attribute in node.attribute:
        if attribute.name == "post_transform":
            transform = attribute.s.decode()
        elif attribute.name == "intercepts":
            classes = len(attribute.floats)
        elif attribute.name == "prob_a" and attribute.floats:
            transform = "PLATT"
    return transform, classes


def _constants(graph: onnx.GraphProto) -> dict[str, float]:
    """The initializers of one value."""
    from onnx import numpy_helper

    return {
        initializer.name: float(numpy_helper.to_array(initializer).ravel()[0])
        for initializer in graph.initializer
        if all(size == 1 for size in initializer.dims) and initializer.data_type in (1, 10, 11)
    }

"""Sigmoids from which something is chosen, or that are answers, written so that small scores are exact too.

ONNX Runtime's Sigmoid is exact to 6e-8 absolutely. Scores of rare classes are smaller than that: the best of them would
be chosen by chance, and one that is answered may be twice as large. 1 / (1 + exp(-x)) is exact relatively.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx

SCORES = {"TopK": 0, "ArgMax": 0, "ArgMin": 0, "NonMaxSuppression": 1}
"""operator that chooses → which of its inputs holds the scores"""
_HAND_ON = frozenset(
    {
        "Transpose",
        "Reshape",
        "Flatten",
        "Squeeze",
        "Unsqueeze",
        "Concat",
        "Slice",
        "Split",
        "Gather",
        "GatherND",
        "Cast",
    }
    | {"GatherElements", "ReduceMax", "ReduceMin", "Max", "Min", "Mul", "Where", "Identity", "Neg", "Sqrt", "Expand"}
)
"""operators that bring scores to where they are chosen from, or compare them on the way"""
_ONE = "exact/one"
_CAST_LIKE = 15
"""the opset from which CastLike is known"""


def exactly_scored(model: onnx.ModelProto, answers: Iterable[str] | None = None) -> onnx.ModelProto | None:
    """A copy in which sigmoids are written out that come to these outputs, or to what chooses; None where none does."""
    import onnx

    chosen = sigmoids(model, answers)
    if not chosen:
        return None
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    nodes = []
    for node in copy.graph.node:
        nodes += _written_out(node) if node.output and node.output[0] in chosen else [node]
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    copy.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(1, np.float32), _ONE))
    return copy


def sigmoids(model: onnx.ModelProto, answers: Iterable[str] | None = None) -> set[str]:
    """The outputs of sigmoids whose scores come to these outputs, or to what chooses, and that can be written out."""
    if next((entry.version for entry in model.opset_import if not entry.domain), 0) < _CAST_LIKE:
        return set()
    choosing = [node for node in model.graph.node if node.op_type in SCORES]
    to_see = [node.input[SCORES[node.op_type]] for node in choosing] if answers is None else list(answers)
    makers = {name: node for node in model.graph.node for name in node.output}
    seen: set[str] = set()
    found = set()
    while to_see:
        name = to_see.pop()
        node = makers.get(name)
        if name in seen or node is None:
            continue
        seen.add(name)
        if node.op_type == "Sigmoid":
            found.add(name)
        elif node.op_type in _HAND_ON:
            to_see += node.input
    return found


def _written_out(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    import onnx

    x, y = node.input[0], node.output[0]
    made = {what: f"{y}/exact_{what}" for what in ("negative", "power", "one", "whole")}
    parts = [
        ("Neg", [x], made["negative"]),
        ("Exp", [made["negative"]], made["power"]),
        ("CastLike", [_ONE, x], made["one"]),
        ("Add", [made["power"], made["one"]], made["whole"]),
        ("Reciprocal", [made["whole"]], y),
    ]
    nodes = [onnx.helper.make_node(kind, given, [name], name=f"{node.name}/{kind}") for kind, given, name in parts]
    for one in nodes:
        one.metadata_props.extend(node.metadata_props)
    return nodes

"""Choices between equal scores: a case that nobody showed, whose scores saturate until they tie, decides nothing.

Which of equal scores comes first is no promise of any framework. On the author's rows and on ordinary ones a choice is
held against the original. Far from them (a thousand times too large, all zeros) a sigmoid is 1 for every box, and what
depends on the order says nothing of the export.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.export.equivalence.cases import Case
from onnxpress.export.equivalence.evaluator.numpy_graph import NotEvaluated, NumpyGraph

if TYPE_CHECKING:
    import onnx

_FAR = frozenset({"zeros", "large", "tiny", "magnitudes", "turns", "integers", "extremes", "wider"})
"""kinds of cases whose scale nobody showed"""
_CHOOSE = frozenset({"TopK", "ArgMax", "ArgMin"})
_NOISE = 10 * float(np.finfo(np.float32).eps)
"""of the largest score: as near as the accepted floors tell two scores apart"""


def tied(graph: onnx.ModelProto, cases: Sequence[Case]) -> dict[str, str]:
    """Name of a far case → the node at which scores tie around its choice. Empty where the graph chooses nothing."""
    choosing = [node for node in graph.graph.node if node.op_type in _CHOOSE]
    found: dict[str, str] = {}
    if not choosing:
        return found
    try:
        evaluated = NumpyGraph(graph)
        for case in cases:
            if case.kind in _FAR and (where := _where(choosing, evaluated, case)):
                found[case.name] = where
    except NotEvaluated:
        return {}
    return found


def untied(graph: onnx.ModelProto, cases: Sequence[Case]) -> list[Case]:
    """The cases that no tie decides."""
    found = tied(graph, cases)
    return [case for case in cases if case.name not in found]


def _where(choosing: Sequence[onnx.NodeProto], evaluated: NumpyGraph, case: Case) -> str:
    """The first node of the case that chooses among scores of which two are equal; empty for none."""
    asked = {name for node in choosing for name in (node.input[0], node.output[0])}
    tensors: dict[str, Array] = {name: value for name, value in case.feeds.items() if name in asked}

    def see(_place: int, _node: Any, name: str, value: Any) -> None:
        if name in asked and isinstance(value, np.ndarray):
            tensors[name] = value

    evaluated.run(case.feeds, see)
    for node in choosing:
        if {node.input[0], node.output[0]} <= tensors.keys() and _ties(node, tensors):
            return f"{node.op_type} {node.name or node.output[0]}"
    return ""


def _ties(node: onnx.NodeProto, tensors: Mapping[str, Array]) -> bool:
    """Whether one of the chosen scores, along the node's axis, has an equal next to it within float32's noise."""
    scores = tensors[node.input[0]]
    settings = {attribute.name: attribute.i for attribute in node.attribute}
    axis = settings.get("axis", -1 if node.op_type == "TopK" else 0)
    lowest = node.op_type == "ArgMin" or (node.op_type == "TopK" and not settings.get("largest", 1))
    if scores.ndim == 0 or scores.shape[axis] < 2 or not scores.size:
        return False
    chosen = tensors[node.output[0]].shape[axis] if node.op_type == "TopK" else 1
    values = np.nan_to_num(scores.astype(np.float64)) * (-1.0 if lowest else 1.0)
    best = np.take(-np.sort(-values, axis=axis), np.arange(min(chosen + 1, values.shape[axis])), axis=axis)
    return bool(np.any(-np.diff(best, axis=axis) <= _NOISE * np.abs(values).max()))

"""Choices between equal scores: a case that nobody showed, whose scores saturate until they tie, decides nothing.

Which of equal scores comes first is no promise of any framework. On the author's rows and on ordinary ones a choice is
held against the original, but for the elements that the original itself would answer otherwise, had rounding exchanged
two scores. Far from them (a thousand times too large, all zeros) a sigmoid is 1 for every box, and what depends on the
order says nothing of the export.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.export.equivalence.cases import Case
from onnxpress.export.equivalence.evaluator.numpy_graph import NotEvaluated, NumpyGraph
from onnxpress.export.equivalence.reference import Reference
from onnxpress.export.graph.exact_sigmoids import SCORES

if TYPE_CHECKING:
    import onnx

_FAR = frozenset({"zeros", "large", "tiny", "magnitudes", "turns", "integers", "extremes", "wider"})
"""kinds of cases whose scale nobody showed"""
_NOISE = 10 * float(np.finfo(np.float32).eps)
"""of the largest score: as near as the accepted floors tell two scores apart"""
_TURNS, _QUIET = 32, 8
"""of noise, in pairs of opposite ones: as many as show others, until some show none"""


def tied(graph: onnx.ModelProto, cases: Sequence[Case]) -> dict[str, str]:
    """Name of a far case → the node at which scores tie around its choice. Empty where the graph chooses nothing."""
    choosing = [node for node in graph.graph.node if node.op_type in SCORES]
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
    asked = {name for node in choosing for name in _asked(node)}
    tensors: dict[str, Array] = {name: value for name, value in case.feeds.items() if name in asked}

    def see(_place: int, _node: Any, name: str, value: Any) -> None:
        if name in asked and isinstance(value, np.ndarray):
            tensors[name] = value

    evaluated.run(case.feeds, see)
    for node in choosing:
        if {*_asked(node)} <= tensors.keys() and _ties(node, *(tensors[name] for name in _asked(node))):
            return f"{node.op_type} {node.name or node.output[0]}"
    return ""


def _asked(node: onnx.NodeProto) -> tuple[str, str]:
    """The scores that the node chooses among, and what it chooses."""
    return node.input[SCORES[node.op_type]], node.output[0]


def _ties(node: onnx.NodeProto, scores: Array, chosen: Array) -> bool:
    """Whether one of the chosen scores, along the node's axis, has an equal next to it within float32's noise."""
    settings = {attribute.name: attribute.i for attribute in node.attribute}
    if node.op_type == "NonMaxSuppression":
        return _boxes_tie(scores, chosen)
    axis = settings.get("axis", -1 if node.op_type == "TopK" else 0)
    lowest = node.op_type == "ArgMin" or (node.op_type == "TopK" and not settings.get("largest", 1))
    if scores.ndim == 0 or scores.shape[axis] < 2 or not scores.size:
        return False
    count = chosen.shape[axis] if node.op_type == "TopK" else 1
    values = np.nan_to_num(scores.astype(np.float64)) * (-1.0 if lowest else 1.0)
    best = np.take(-np.sort(-values, axis=axis), np.arange(min(count + 1, values.shape[axis])), axis=axis)
    return bool(np.any(-np.diff(best, axis=axis) <= _NOISE * np.abs(values).max()))


def _boxes_tie(scores: Array, chosen: Array) -> bool:
    """Whether a chosen box (row, class, place) has another one of its class with an equal score."""
    values = np.nan_to_num(scores.astype(np.float64))
    noise = _NOISE * np.abs(values).max(initial=0)
    for row, kind, place in chosen:
        beside = np.abs(values[row, kind] - values[row, kind, place]) <= noise
        if np.count_nonzero(beside) > 1:
            return True
    return False


def marked(reference: Reference, cases: Sequence[Case], limit: float) -> list[Case]:
    """The cases, each with the elements of its answers that scores within `limit` times their noise decide.

    The original alone says which: it is asked again with noise on the scores that it chooses from. A graph whose scores
    are wrong marks nothing.
    """
    return [replace(case, ties=_decided(reference, case, limit)) for case in cases]


def share_left(cases: Sequence[Case], reference: Reference) -> dict[str, float]:
    """Output → the share of its elements over all cases that no tie decides, of outputs with such elements."""
    counts: dict[str, list[int]] = {}
    for case in cases:
        answers = reference.run(case.feeds) if any(one.ties for one in cases) else {}
        for name, value in answers.items():
            tie = case.ties.get(name)
            seen = counts.setdefault(name, [0, 0])
            seen[0] += value.size
            seen[1] += 0 if tie is None else int(tie.sum())
    return {name: 1 - tied / size for name, (size, tied) in counts.items() if tied}


def _decided(reference: Reference, case: Case, limit: float) -> dict[str, Array]:
    found: dict[str, Array] = {}
    own: dict[str, Array] = {}
    known = quiet = 0
    for other in reference.chosen_otherwise(case.feeds, limit, _TURNS):
        own = own or reference.run(case.feeds)
        for name, value in own.items():
            moved = _moved(value, other[name], limit)
            if moved.any():
                found[name] = found.get(name, np.zeros(value.shape, bool)) | moved
        before, known = known, sum(int(tie.sum()) for tie in found.values())
        quiet = quiet + 1 if known == before else 0
        if quiet == _QUIET:
            break
    return found


def _moved(value: Array, other: Array, limit: float) -> Array:
    """Which elements are others: of floats those further than the noise of two scores."""
    if other.shape != value.shape:
        return np.ones(value.shape, bool)
    if value.dtype.kind != "f":
        return np.asarray(value != other)
    finite = np.where(np.isfinite(value), value, 0).astype(np.float64)
    reach = 2 * limit * float(np.finfo(np.float32).eps) * np.abs(finite).max(initial=0)
    same = (value == other) | (np.isnan(value) & np.isnan(other))
    with np.errstate(invalid="ignore"):
        near = np.abs(value.astype(np.float64) - other.astype(np.float64)) <= reach
    return np.asarray(~(same | near))

"""Distributions and decisions of an output over all cases."""

from __future__ import annotations

import numpy as np

from onnxpress.core.golden import Golden
from onnxpress.core.tensors import parse_spec
from onnxpress.export.equivalence.cases import Case
from onnxpress.export.equivalence.figures import figure
from onnxpress.export.equivalence.report.schema import OutputFigure
from onnxpress.export.equivalence.results import CaseResult


def judged(spec: str, expected: np.ndarray, found: np.ndarray, floor: float) -> OutputFigure:
    golden = Golden({}, {"y": expected}, {"y": np.full(expected.shape, floor)})
    return figure(parse_spec(spec), [result(golden, found)], 10.0)


def result(golden: Golden, found: np.ndarray) -> CaseResult:
    return CaseResult(Case("generated", 1, {}), golden, answers={"y": found}, multiples={"y": 0.0})


def test_every_element_is_counted_once() -> None:
    expected = np.zeros((4, 3), np.float32)
    found = expected + np.array([0.0, 0.05, 5.0], np.float32)
    counts = judged("y:float32[batch,3]", expected, found, 0.1).distribution
    assert sum(counts) == 12
    assert (counts[0], counts[3], counts[6]) == (4, 4, 4), "0, 0.5 and 50 floors"


def test_another_shape_is_infinitely_far() -> None:
    found = judged("y:float32[batch,3]", np.zeros((4, 3), np.float32), np.zeros((4, 2), np.float32), 0.1)
    assert found.distribution[-1] == 12


def test_a_flip_within_the_noise_is_a_near_tie_and_another_is_not() -> None:
    expected = np.array([[0.5, 0.4999999], [0.9, 0.1], [0.2, 0.8]], np.float32)
    found = np.array([[0.4999999, 0.5], [0.1, 0.9], [0.2, 0.8]], np.float32)
    decisions = judged("y:float32[batch,2]", expected, found, 1e-7).decisions
    assert decisions is not None
    assert (decisions.kind, decisions.count, decisions.flips, decisions.near_ties) == ("top-1", 3, 2, 1)


def test_infinite_scores_are_told_as_they_are() -> None:
    expected = np.array([[np.inf, np.inf], [1.0, 2.0]], np.float32)
    found = judged("y:float32[batch,2]", expected, np.array([[1.0, np.inf], [1.0, -np.inf]], np.float32), 1e-7)
    assert found.largest_error == np.inf
    assert found.decisions is not None
    assert (found.decisions.flips, found.decisions.near_ties) == (2, 1)


def test_values_that_differ_are_flips_and_marked_ones_near_ties() -> None:
    expected, found = np.array(["a", "b", "c"], object), np.array(["a", "x", "y"], object)
    golden = Golden({}, {"y": expected}, {"y": np.array([0.0, 1.0, 0.0])})
    decisions = figure(parse_spec("y:string[batch]"), [result(golden, found)], 10.0).decisions
    assert decisions is not None
    assert (decisions.kind, decisions.count, decisions.flips, decisions.near_ties) == ("value", 3, 2, 1)


def test_a_lone_score_has_nothing_to_decide() -> None:
    assert judged("y:float32[batch]", np.zeros(3, np.float32), np.zeros(3, np.float32), 1.0).decisions is None

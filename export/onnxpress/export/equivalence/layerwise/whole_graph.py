"""Does the graph mean what the framework computes? Both in float64, where rounding no longer hides a small fault."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.golden import Golden, worst_multiple
from onnxpress.export.equivalence.cases import LARGE_BATCH
from onnxpress.export.equivalence.evaluator.numpy_graph import NotEvaluated, NumpyGraph
from onnxpress.export.equivalence.layerwise.divergence import Divergence
from onnxpress.export.equivalence.noise_floor import pooled_floors
from onnxpress.export.equivalence.report.schema import Check, multiple
from onnxpress.export.equivalence.results import CaseResult

if TYPE_CHECKING:
    import onnx

WHOLE_LIMIT = 2.0
"""Accepted distance between graph and framework in float64, in the float32 noise floors of each output: see ADR 0002.

Not zero: a graph holds its constants in float32, where the framework's float64 twin has Python's numbers and unfolded
weights.
"""
DEEP_LIMIT = 5.0
"""The same where the layers were held against the framework's one by one, and what each may add is bounded there."""
_CONTRADICTED = 20.0
"""floors in float64 that would show in float32 too, whatever both sides' noise"""
FEW = 3
"""rows of the cases that are looked into layer by layer"""


@dataclass(frozen=True)
class Verdict:
    """What the comparison found. `check` is None where it could not be made; `why_not` says what was left out."""

    check: Check | None = None
    why_not: str = ""


def compare(
    graph: onnx.ModelProto, results: Sequence[CaseResult], divergences: Mapping[str, Divergence] | None = None
) -> Verdict:
    """Hold the graph in float64 against the framework's float64 answers, in the goldens' noise floors.

    What differs by far more in float64 than in float32 is no fault of the graph, which would show in both: a rounding
    down or a comparison (a bucket of relative positions, say) falls otherwise there in the last bit. `divergences` are
    shown the graph's tensors on the cases of these names.
    """
    if any(result.truth is None for result in results):
        return Verdict(why_not="the graph in float64: the framework's float64 answers are not available")
    worst, where, otherwise = 0.0, "", list[str]()
    try:
        evaluated = NumpyGraph(graph)
        for result in _computed(results):
            case, golden, truth = result.case, result.golden, result.truth or {}
            divergence = (divergences or {}).get(case.name)
            answers = evaluated.run(case.feeds, divergence.see if divergence else None)
            answers = {name: plain(value) for name, value in answers.items()}
            expected = {name: plain(truth[name]) for name in golden.outputs}
            multiples = worst_multiple(Golden(golden.inputs, expected, golden.floors), answers)
            for name, far in multiples.items():
                if far > _CONTRADICTED and result.nearest[name] <= far / 2:
                    otherwise.append(f"{name}, {case.name}")
                elif far > worst or not where:
                    worst, where = far, f"{name}, {case.name}"
    except NotEvaluated as reason:
        return Verdict(why_not=f"the graph in float64: {reason}")
    limit = DEEP_LIMIT if divergences else WHOLE_LIMIT
    if not where:
        return Verdict(why_not="the graph in float64: it takes other ways than in float32 on every input")
    detail = f"the graph in float64 is {multiple(worst)} noise floors from the framework in float64 ({where})"
    left_out = f"the graph in float64 where it takes another way than in float32: {'; '.join(otherwise[:3])}"
    return Verdict(Check(name="meaning", passed=worst <= limit, detail=detail), left_out if otherwise else "")


def _computed(results: Sequence[CaseResult]) -> Sequence[CaseResult]:
    """The cases to compute in numpy: all; of a heavy model a small and a large batch of each kind."""
    largest = max(result.case.batch for result in results)
    if largest == LARGE_BATCH:
        return results
    return [result for result in results if result.case.batch in (FEW, largest)] or results


def with_the_graphs_noise(graph: onnx.ModelProto, results: Sequence[CaseResult]) -> list[CaseResult]:
    """The results with noise floors not below the graph's own rounding: float32 against float64, both in numpy.

    A framework may be more exact than float32 arithmetic is (torch sums a cumsum in double); an ill-conditioned graph
    that means the same must not be refused for that. Raises NotEvaluated.
    """
    narrow_graph, wide_graph = NumpyGraph(graph, np.float32), NumpyGraph(graph)
    cases = [result.case for result in results]
    narrow = [narrow_graph.run(case.feeds) for case in cases]
    wide = [wide_graph.run(case.feeds) for case in cases]
    floats = [
        name
        for name in results[0].golden.outputs
        if all(result.golden.outputs[name].dtype.kind == "f" for result in results)
    ]
    noise = pooled_floors(cases, narrow, wide, floats)
    wider = []
    for result, own in zip(results, noise, strict=True):
        golden = result.golden
        floors = golden.floors | {name: np.maximum(golden.floors[name], floor) for name, floor in own.items()}
        wider.append(replace(result, golden=Golden(golden.inputs, golden.outputs, floors)))
    return wider


def plain(value: Array) -> Array:
    """Floats of any width as float64, strings of any form as objects: dtypes are the runtime's to answer for."""
    if value.dtype.kind in "US":
        return value.astype(object)
    return value.astype(np.float64) if value.dtype.kind in "fV" else value

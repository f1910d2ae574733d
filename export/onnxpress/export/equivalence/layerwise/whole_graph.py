"""Does the graph mean what the framework computes? Both in float64, where rounding no longer hides a small fault."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.golden import Golden, worst_multiple
from onnxpress.export.equivalence.cases import LARGE_BATCH, Case
from onnxpress.export.equivalence.evaluator.numpy_graph import NotEvaluated, NumpyGraph
from onnxpress.export.equivalence.layerwise.divergence import Walk
from onnxpress.export.equivalence.noise_floor import pool
from onnxpress.export.equivalence.report.schema import Check, multiple

if TYPE_CHECKING:
    import onnx

MEANING_LIMIT = 2.0
"""Accepted distance between graph and framework in float64, in the float32 noise floors of each output.

Sound exports of the corpus were seen up to 1.3, on two seeds. Not zero: a graph holds its constants in float32, where
the framework's float64 twin has Python's numbers and unfolded weights.
"""
DEEP_LIMIT = 5.0
"""The same where the layers were held against the framework's one by one, and what each may add is bounded there.

A trained network of fourteen convolutions, each with its batch norm folded into float32 constants, lies at 2.5.
"""
_CONTRADICTED = 20.0
"""floors in float64 that would show in float32 too, whatever both sides' noise"""
FEW = 3
"""rows of the cases that are looked into layer by layer"""


@dataclass(frozen=True)
class Meaning:
    """What the comparison found. `check` is None where it could not be made; `why_not` says what was left out."""

    check: Check | None = None
    why_not: str = ""


def compare(
    graph: onnx.ModelProto,
    cases: Sequence[Case],
    goldens: Sequence[Golden],
    truths: Sequence[Mapping[str, Array]],
    narrow: Sequence[Mapping[str, float]],
    walks: Mapping[int, Walk] | None = None,
) -> Meaning:
    """Hold the graph in float64 against the framework's float64 answers, in the goldens' noise floors.

    `narrow` holds how far the graph is in float32, case by case. What differs by far more in float64 than in float32
    is no fault of the graph, which would show in both: a rounding down or a comparison (a bucket of relative
    positions, say) falls otherwise there in the last bit. `walks` are shown the graph's tensors on the cases of these
    numbers.
    """
    if not truths:
        return Meaning(why_not="the graph in float64: the framework's float64 answers are not available")
    worst, where, otherwise = 0.0, "", list[str]()
    try:
        evaluated = NumpyGraph(graph)
        for number in _computed(cases):
            case, golden, truth = cases[number], goldens[number], truths[number]
            walk = (walks or {}).get(number)
            answers = evaluated.run(case.feeds, walk.see if walk else None)
            answers = {name: plain(value) for name, value in answers.items()}
            expected = {name: plain(truth[name]) for name in golden.outputs}
            found = worst_multiple(Golden(golden.inputs, expected, golden.floors), answers)
            for name, far in found.items():
                if far > _CONTRADICTED and narrow[number][name] <= far / 2:
                    otherwise.append(f"{name}, {case.name}")
                elif far > worst or not where:
                    worst, where = far, f"{name}, {case.name}"
    except NotEvaluated as reason:
        return Meaning(why_not=f"the graph in float64: {reason}")
    limit = DEEP_LIMIT if walks else MEANING_LIMIT
    if not where:
        return Meaning(why_not="the graph in float64: it takes other ways than in float32 on every input")
    detail = f"the graph in float64 is {multiple(worst)} noise floors from the framework in float64 ({where})"
    left_out = f"the graph in float64 where it takes another way than in float32: {'; '.join(otherwise[:3])}"
    return Meaning(Check(name="meaning", passed=worst <= limit, detail=detail), left_out if otherwise else "")


def _computed(cases: Sequence[Case]) -> list[int]:
    """The numbers of the cases to compute in numpy: all; of a heavy model a small and a large batch of each kind."""
    numbers = list(range(len(cases)))
    largest = max(case.batch for case in cases)
    if largest == LARGE_BATCH:
        return numbers
    return [number for number in numbers if cases[number].batch in (FEW, largest)] or numbers


def widened(graph: onnx.ModelProto, cases: Sequence[Case], goldens: Sequence[Golden]) -> list[Golden]:
    """The goldens with noise floors not below the graph's own rounding: float32 against float64, both in numpy.

    A framework may be more exact than float32 arithmetic is (torch sums a cumsum in double); an ill-conditioned graph
    that means the same must not be refused for that. Raises NotEvaluated.
    """
    narrow_graph, wide_graph = NumpyGraph(graph, np.float32), NumpyGraph(graph)
    narrow = [narrow_graph.run(case.feeds) for case in cases]
    wide = [wide_graph.run(case.feeds) for case in cases]
    floors = [dict(golden.floors) for golden in goldens]
    for kind in dict.fromkeys(case.kind for case in cases):
        members = [number for number, case in enumerate(cases) if case.kind == kind]
        for name in goldens[0].outputs:
            if any(goldens[n].outputs[name].dtype.kind != "f" for n in members):
                continue
            pooled = pool([narrow[n][name] for n in members], [wide[n][name] for n in members])
            for number, floor in zip(members, pooled, strict=True):
                floors[number][name] = np.maximum(floors[number][name], floor)
    return [Golden(golden.inputs, golden.outputs, own) for golden, own in zip(goldens, floors, strict=True)]


def plain(value: Array) -> Array:
    """Floats of any width as float64, strings of any form as objects: dtypes are the runtime's to answer for."""
    if value.dtype.kind in "US":
        return value.astype(object)
    return value.astype(np.float64) if value.dtype.kind in "fV" else value

"""The measurement: the reference's answers against an ONNX session's, on every case and every rung of the ladder."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import msgspec
import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.golden import LIMIT, Golden, worst_multiple
from onnxpress.core.rows import Dependent, Proven
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.equivalence import bounded_outputs, lost_answers
from onnxpress.export.equivalence.cases import Case
from onnxpress.export.equivalence.evaluator.numpy_graph import NotEvaluated
from onnxpress.export.equivalence.figures import figure
from onnxpress.export.equivalence.independence import judged
from onnxpress.export.equivalence.layerwise import whole_graph
from onnxpress.export.equivalence.layerwise.comparison import GraphFindings, Watched, examine
from onnxpress.export.equivalence.noise_floor import reference_results
from onnxpress.export.equivalence.reference import Reference
from onnxpress.export.equivalence.report.schema import CaseFigure, Check, Report, Rung
from onnxpress.export.equivalence.results import CaseResult

if TYPE_CHECKING:
    import onnx

_GOLDEN_BYTES = 256 * 1024


class Runnable(Protocol):
    """Anything that answers feeds: the serving engine, or a stand-in in a test."""

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Output name → array."""


@dataclass(frozen=True)
class Measurement:
    """The report, and the cases that travel with the version as golden samples."""

    report: Report
    goldens: list[Golden]
    results: list[CaseResult] = field(default_factory=list)
    """every case, with what the original and the served rung say to it"""
    watched: Watched = field(default_factory=Watched)
    """what the original's layers computed, where the graph was looked into"""


def measure(
    reference: Reference,
    rungs: Mapping[str, Runnable],
    cases: Sequence[Case],
    outputs: Sequence[TensorSpec],
    *,
    served: str,
    checks: Sequence[Check] = (),
    environment: Mapping[str, str] | None = None,
    limit: float = LIMIT,
    graph: onnx.ModelProto | None = None,
    parameters: Mapping[str, Array] | None = None,
    release: Callable[[], None] = lambda: None,
    proof: Proven | Dependent | None = None,
    looks_inside: bool = True,
) -> Measurement:
    """Compare every rung with the reference on every case; `served` names the one that will be served.

    With `graph`, what the rungs run is also held against the reference in float64, and its constants against
    `parameters`: checks that see faults which hide in float32's noise, or which no drawn input shows.
    Without `looks_inside` the graph only says which outputs are bounded, and its answers alone are judged.

    `release` is called when the rungs have answered: computing the graph in float64 takes memory that they may hold.

    The verdict holds when every check passed and no output of any rung is further than `limit` noise floors from the
    reference. Batching is judged on the served rung alone, and by the `proof` over the graph where there is one.
    """
    bounded = {} if graph is None else bounded_outputs.ranges(graph)
    results, method = reference_results(reference, cases, outputs, limit, bounded)
    ladder, results = _climb(rungs, served, results)
    apart = rows_stand_alone(cases, outputs)
    if apart:
        results = [_with_rows_alone(rungs[served], result) for result in results]
    release()
    if graph is None or not looks_inside:
        findings = GraphFindings(
            not_measured=["the graph in float64, and its constants against the framework's parameters"]
        )
    else:
        findings = examine(graph, reference, results, parameters or {})
    checks = [*checks, *findings.checks]
    far = max(rung.worst_multiple for rung in ladder)
    if graph is not None and findings.means_the_same and limit < far < math.inf:
        with contextlib.suppress(NotEvaluated):
            results = whole_graph.with_the_graphs_noise(graph, results)
            ladder, results = _climb(rungs, served, results)
            checks.append(Check(name="rounding", passed=True, detail="floors include the graph's own float32 rounding"))
    checks.extend(lost_answers.check(results, outputs, limit, bounded))
    batch = max((_rows_alone(result) for result in results), default=0.0) if apart else math.inf
    independence = judged(proof, measured=batch <= limit)
    checks.append(independence.check)
    worst = max(rung.worst_multiple for rung in ladder)
    return Measurement(
        report=Report(
            equivalent=worst <= limit and all(check.passed for check in checks),
            worst_multiple=worst,
            limit=limit,
            floor=method,
            batch_safe=independence.safe,
            batch_multiple=batch,
            rows=independence.rows,
            outputs=[figure(spec, results, limit) for spec in outputs],
            cases=[
                CaseFigure(name=result.case.name, batch=result.case.batch, multiples=dict(result.multiples))
                for result in results
            ],
            ladder=ladder,
            checks=checks,
            curve=findings.curve,
            not_measured=findings.not_measured,
            environment=dict(environment or {}),
        ),
        goldens=choose_goldens(results),
        results=results,
        watched=findings.watched,
    )


def joined(first: Measurement, second: Measurement, outputs: Sequence[TensorSpec]) -> Measurement:
    """One measurement of both's cases: of the same graph, on the same rungs, each case measured once."""
    results = [*first.results, *second.results]
    one, other = first.report, second.report
    report = msgspec.structs.replace(
        one,
        equivalent=one.equivalent and other.equivalent,
        worst_multiple=max(one.worst_multiple, other.worst_multiple),
        batch_safe=one.batch_safe and (other.batch_safe or not math.isfinite(one.batch_multiple)),
        batch_multiple=max(one.batch_multiple, other.batch_multiple),
        outputs=[figure(spec, results, one.limit) for spec in outputs],
        cases=[*one.cases, *other.cases],
        ladder=[
            Rung(name=rung.name, worst_multiple=max(rung.worst_multiple, other.rung(rung.name))) for rung in one.ladder
        ],
        checks=[*one.checks, *(check for check in other.checks if not check.passed)],
        not_measured=list(dict.fromkeys([*one.not_measured, *other.not_measured])),
    )
    return Measurement(report, choose_goldens(results), results, first.watched)


def _climb(
    rungs: Mapping[str, Runnable], served: str, results: Sequence[CaseResult]
) -> tuple[list[Rung], list[CaseResult]]:
    """Every rung's worst multiple, and the results with the served rung's answers and the nearest rung's distance."""
    ladder = []
    climbed = [replace(result, nearest={}) for result in results]
    for name, runnable in rungs.items():
        worst = 0.0
        for place, result in enumerate(climbed):
            answers = runnable.run(result.case.feeds)
            multiples = worst_multiple(result.golden, answers)
            worst = max(worst, *multiples.values())
            nearest = {output: min(far, result.nearest.get(output, math.inf)) for output, far in multiples.items()}
            if name == served:
                result = replace(result, answers=answers, multiples=multiples)
            climbed[place] = replace(result, nearest=nearest)
        ladder.append(Rung(name=name, worst_multiple=worst))
    return ladder, climbed


def rows_stand_alone(cases: Sequence[Case], outputs: Sequence[TensorSpec]) -> bool:
    """Whether rows can be asked alone: every output, and every input of a batch, has one for each row of it."""
    if any(not spec.shape or spec.shape[0] != "batch" for spec in outputs):
        return False
    return all(
        value.ndim > 0 and value.shape[0] == case.batch
        for case in cases
        if _in_rows(case)
        for value in case.feeds.values()
    )


def _in_rows(case: Case) -> bool:
    """Whether the case's rows are asked alone as well: batches of 2 to 7."""
    return 1 < case.batch <= 7


def _with_rows_alone(runnable: Runnable, result: CaseResult) -> CaseResult:
    case = result.case
    if not _in_rows(case):
        return result
    rows = [
        runnable.run({name: value[row : row + 1] for name, value in case.feeds.items()}) for row in range(case.batch)
    ]
    return replace(result, alone={name: np.concatenate([row[name] for row in rows]) for name in rows[0]})


def _rows_alone(result: CaseResult) -> float:
    """The worst multiple between rows asked alone and in their batch; inf where one is absent or of another shape."""
    golden, alone = result.golden, result.alone
    if alone is None:
        return 0.0
    if any(
        name not in result.answers or result.answers[name].shape != golden.outputs[name].shape
        for name in golden.outputs
    ):
        return math.inf
    together = Golden(golden.inputs, {name: result.answers[name] for name in golden.outputs}, golden.floors)
    return max(worst_multiple(together, {name: alone[name] for name in golden.outputs}).values())


def choose_goldens(results: Sequence[CaseResult]) -> list[Golden]:
    """Few and small: the worst case seen, a lone row and a batch of seven, as far as each fits in 256 KiB.

    Where none fits, the smallest; among those as small, one whose inputs vary, since zeros would show little.
    """
    by_worst = sorted(results, key=lambda result: -max(result.multiples.values()))
    small = [result for result in by_worst if _size(result.golden) <= _GOLDEN_BYTES]
    if not small:
        small = sorted(by_worst, key=lambda result: (_size(result.golden), not _varies(result.golden)))[:1]
    chosen = small[:1]
    for batch in (1, 7):
        chosen += [result for result in small if result.case.batch == batch and result not in chosen][:1]
    return [result.golden for result in results if result in chosen]


def _varies(golden: Golden) -> bool:
    return any((value != value.flat[0]).any() for value in golden.inputs.values() if value.size)


def _size(golden: Golden) -> int:
    return sum(value.nbytes for part in (golden.inputs, golden.outputs, golden.floors) for value in part.values())

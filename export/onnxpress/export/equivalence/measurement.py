"""The measurement: the reference's answers against an ONNX session's, on every case and every rung of the ladder."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.golden import Golden, worst_multiple
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.equivalence.cases import Case
from onnxpress.export.equivalence.evaluator.numpy_graph import NotEvaluated
from onnxpress.export.equivalence.figures import figure
from onnxpress.export.equivalence.layerwise import whole_graph as meaning
from onnxpress.export.equivalence.layerwise.comparison import Looked, look
from onnxpress.export.equivalence.noise_floor import golden_cases
from onnxpress.export.equivalence.reference import Reference
from onnxpress.export.equivalence.report.schema import CaseFigure, Check, Report, Rung

if TYPE_CHECKING:
    import onnx

LIMIT = 10.0
"""Accepted multiple of the noise floor: sound exports were seen up to 8.2, wrong ones from 700 on (DESIGN 7.3)."""
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


def measure(
    reference: Reference,
    rungs: Mapping[str, Runnable],
    cases: Sequence[Case],
    outputs: Sequence[TensorSpec],
    *,
    checks: Sequence[Check] = (),
    environment: Mapping[str, str] | None = None,
    limit: float = LIMIT,
    graph: onnx.ModelProto | None = None,
    parameters: Mapping[str, Array] | None = None,
    release: Callable[[], None] = lambda: None,
) -> Measurement:
    """Compare every rung with the reference on every case; the last rung is what will be served.

    With `graph`, what the rungs run is also held against the reference in float64, and its constants against
    `parameters`: checks that see faults which hide in float32's noise, or which no drawn input shows.

    `release` is called when the rungs have answered: computing the graph in float64 takes memory that they may hold.

    The verdict holds when every check passed and no output of any rung is further than `limit` noise floors from the
    reference. Batching is judged on the served rung alone.
    """
    goldens, method, truths = golden_cases(reference, cases, outputs, limit)
    served_name = list(rungs)[-1]
    ladder, served_answers, served_multiples, nearest = _climb(rungs, cases, goldens)
    alone = answers_alone(rungs[served_name], cases, outputs)
    release()
    if graph is None:
        looked = Looked(not_measured=["the graph in float64, and its constants against the framework's parameters"])
    else:
        looked = look(graph, reference, cases, goldens, truths, nearest, parameters or {})
    checks = [*checks, *looked.checks]
    if graph is not None and looked.means_the_same and limit < max(rung.worst_multiple for rung in ladder) < math.inf:
        with contextlib.suppress(NotEvaluated):
            goldens = meaning.widened(graph, cases, goldens)
            ladder, served_answers, served_multiples, _ = _climb(rungs, cases, goldens)
            checks.append(Check(name="rounding", passed=True, detail="floors include the graph's own float32 rounding"))
    figures = [
        CaseFigure(name=case.name, batch=case.batch, multiples=found)
        for case, found in zip(cases, served_multiples, strict=True)
    ]
    batch = math.inf if alone is None else rows_alone(alone, goldens, served_answers)
    worst = max(rung.worst_multiple for rung in ladder)
    return Measurement(
        report=Report(
            equivalent=worst <= limit and all(check.passed for check in checks),
            worst_multiple=worst,
            limit=limit,
            floor=method,
            batch_safe=batch <= limit,
            batch_multiple=batch,
            outputs=[figure(spec, cases, goldens, served_answers, served_multiples, limit) for spec in outputs],
            cases=figures,
            ladder=ladder,
            checks=checks,
            curve=looked.curve,
            not_measured=looked.not_measured,
            environment=dict(environment or {}),
        ),
        goldens=choose_goldens(cases, goldens, served_multiples),
    )


def _climb(
    rungs: Mapping[str, Runnable], cases: Sequence[Case], goldens: Sequence[Golden]
) -> tuple[list[Rung], list[dict[str, Array]], list[dict[str, float]], list[dict[str, float]]]:
    """Every rung's worst multiple; the last rung's answers and multiples case by case; each case's of the best rung."""
    ladder = []
    nearest: list[dict[str, float]] = []
    for name, candidate in rungs.items():
        answers = [candidate.run(case.feeds) for case in cases]
        multiples = [worst_multiple(golden, answer) for golden, answer in zip(goldens, answers, strict=True)]
        ladder.append(Rung(name=name, worst_multiple=max(max(m.values()) for m in multiples)))
        before = nearest or multiples
        nearest = [{key: min(a[key], b[key]) for key in a} for a, b in zip(before, multiples, strict=True)]
    return ladder, answers, multiples, nearest


def answers_alone(
    candidate: Runnable, cases: Sequence[Case], outputs: Sequence[TensorSpec]
) -> dict[int, dict[str, Array]] | None:
    """Case number → the answers to its rows, each asked alone, put together; cases of 2 to 7 rows.

    None where rows cannot be told apart: an output, or an input, that has none for each row of the batch.
    """
    if any(not spec.shape or spec.shape[0] != "batch" for spec in outputs):
        return None
    found = {}
    for number, case in enumerate(cases):
        if not 1 < case.batch <= 7:
            continue
        if any(value.ndim == 0 or value.shape[0] != case.batch for value in case.feeds.values()):
            return None
        rows = [
            candidate.run({name: value[row : row + 1] for name, value in case.feeds.items()})
            for row in range(case.batch)
        ]
        found[number] = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    return found


def rows_alone(
    alone: Mapping[int, Mapping[str, Array]],
    goldens: Sequence[Golden],
    answers: Sequence[dict[str, Array]],
) -> float:
    """The worst multiple between rows asked `alone` and in their batch; inf where an answer lacks an output."""
    worst = 0.0
    for number, rows in alone.items():
        golden, answer = goldens[number], answers[number]
        if any(name not in answer for name in golden.outputs):
            return math.inf
        together = Golden(golden.inputs, {name: answer[name] for name in golden.outputs}, golden.floors)
        worst = max(worst, *worst_multiple(together, {name: rows[name] for name in golden.outputs}).values())
    return worst


def choose_goldens(
    cases: Sequence[Case], goldens: Sequence[Golden], multiples: Sequence[Mapping[str, float]]
) -> list[Golden]:
    """Few and small: the worst case seen, a lone row and a batch of seven, as far as each fits in 256 KiB."""
    by_worst = sorted(range(len(cases)), key=lambda number: -max(multiples[number].values()))
    small = [number for number in by_worst if _size(goldens[number]) <= _GOLDEN_BYTES] or by_worst[-1:]
    chosen = small[:1]
    for batch in (1, 7):
        chosen += [number for number in small if cases[number].batch == batch and number not in chosen][:1]
    return [goldens[number] for number in sorted(chosen)]


def _size(golden: Golden) -> int:
    return sum(value.nbytes for part in (golden.inputs, golden.outputs, golden.floors) for value in part.values())

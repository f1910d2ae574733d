"""The figures of one output over all cases: the worst element, the distribution, the decisions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from onnxpress.core.golden import multiples
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.equivalence.report.schema import EDGES, Decisions, OutputFigure
from onnxpress.export.equivalence.results import CaseResult

_FLOATS = ("float", "bfloat")
_MOST_CLASSES = 10_000
"""a longer last axis is not one of classes"""


def figure(spec: TensorSpec, results: Sequence[CaseResult], limit: float) -> OutputFigure:
    """What the report says of one output."""
    worst = max(results, key=lambda result: result.multiples[spec.name])
    expected, floor = worst.golden.outputs[spec.name], worst.golden.floors[spec.name]
    answer = worst.answers.get(spec.name)
    largest, at_floor, near = math.inf, 0.0, 0
    if spec.dtype.startswith(_FLOATS):
        if answer is not None and answer.shape == expected.shape and expected.size:
            with np.errstate(invalid="ignore"):
                error = np.abs(answer.astype(np.float64) - expected.astype(np.float64))
            error = np.nan_to_num(error, nan=0.0, posinf=np.inf)
            place = np.unravel_index(int(np.argmax(error / floor)), error.shape)
            largest, at_floor = float(error[place]), float(floor[place])
    else:
        near = int(sum(result.golden.floors[spec.name].sum() for result in results))
        if answer is not None and answer.shape == expected.shape:
            largest = float(np.count_nonzero(answer != expected))
    return OutputFigure(
        name=spec.name,
        dtype=spec.dtype,
        worst_multiple=worst.multiples[spec.name],
        worst_case=worst.case.name,
        largest_error=largest,
        floor=at_floor,
        near_ties=near,
        distribution=_distribution(spec.name, results),
        decisions=_decisions(spec, results, limit),
    )


def _distribution(name: str, results: Sequence[CaseResult]) -> list[int]:
    counts = np.zeros(len(EDGES) + 1, np.int64)
    for result in results:
        golden = result.golden
        far = multiples(golden.outputs[name], result.answers.get(name), golden.floors[name])
        if far is None:
            counts[-1] += golden.outputs[name].size
        else:
            counts += np.bincount(np.searchsorted(EDGES, far.ravel(), side="right"), minlength=len(counts))
    return [int(count) for count in counts]


def _decisions(spec: TensorSpec, results: Sequence[CaseResult], limit: float) -> Decisions | None:
    floats = spec.dtype.startswith(_FLOATS)
    classes = spec.shape[-1] if len(spec.shape) >= 2 else None
    if floats and not (isinstance(classes, int) and 2 <= classes <= _MOST_CLASSES):
        return None
    total = flips = near = 0
    for result in results:
        expected, floor = result.golden.outputs[spec.name], result.golden.floors[spec.name]
        answer = result.answers.get(spec.name)
        if answer is None or answer.shape != expected.shape or expected.size == 0:
            continue
        if not floats:
            total += expected.size
            differs = np.asarray(answer != expected)
            flips += int(differs.sum())
            near += int((differs & (floor > 0)).sum())
            continue
        scores, width = expected.astype(np.float64).reshape(-1, expected.shape[-1]), expected.shape[-1]
        best, other = scores.argmax(-1), answer.reshape(-1, width).argmax(-1)
        rows = np.arange(len(scores))
        unit = np.broadcast_to(floor, expected.shape).reshape(-1, width)
        with np.errstate(invalid="ignore"):
            margin = scores[rows, best] - scores[rows, other]
        margin = np.where(scores[rows, best] == scores[rows, other], 0.0, margin)  # two infinite scores are equal
        tie = margin <= limit * (unit[rows, best] + unit[rows, other])
        total += len(scores)
        flips += int((best != other).sum())
        near += int(((best != other) & tie).sum())
    return Decisions(kind="top-1" if floats else "value", count=total, flips=flips, near_ties=near)

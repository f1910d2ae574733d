"""The figures of one output over all cases: the worst element, the distribution, the decisions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.golden import Golden, multiples
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.equivalence.cases import Case
from onnxpress.export.equivalence.report.schema import EDGES, Decisions, OutputFigure

_FLOATS = ("float", "bfloat")
_MOST_CLASSES = 10_000
"""a longer last axis is not one of classes"""


def figure(
    spec: TensorSpec,
    cases: Sequence[Case],
    goldens: Sequence[Golden],
    answers: Sequence[Mapping[str, Array]],
    worst: Sequence[Mapping[str, float]],
    limit: float,
) -> OutputFigure:
    """What the report says of one output; `worst` holds its worst multiple for every case."""
    number = max(range(len(cases)), key=lambda index: worst[index][spec.name])
    expected, floor = goldens[number].outputs[spec.name], goldens[number].floors[spec.name]
    answer = answers[number].get(spec.name)
    largest, at_floor, near = math.inf, 0.0, 0
    if spec.dtype.startswith(_FLOATS):
        if answer is not None and answer.shape == expected.shape and expected.size:
            with np.errstate(invalid="ignore"):
                error = np.nan_to_num(np.abs(answer.astype(np.float64) - expected.astype(np.float64)), nan=0.0)
            place = np.unravel_index(int(np.argmax(error / floor)), error.shape)
            largest, at_floor = float(error[place]), float(floor[place])
    else:
        near = int(sum(golden.floors[spec.name].sum() for golden in goldens))
        if answer is not None and answer.shape == expected.shape:
            largest = float(np.count_nonzero(answer != expected))
    return OutputFigure(
        name=spec.name,
        dtype=spec.dtype,
        worst_multiple=worst[number][spec.name],
        worst_case=cases[number].name,
        largest_error=largest,
        floor=at_floor,
        near_ties=near,
        distribution=_distribution(spec.name, goldens, answers),
        decisions=_decisions(spec, goldens, answers, limit),
    )


def _distribution(name: str, goldens: Sequence[Golden], answers: Sequence[Mapping[str, Array]]) -> list[int]:
    counts = np.zeros(len(EDGES) + 1, np.int64)
    for golden, answer in zip(goldens, answers, strict=True):
        found = multiples(golden.outputs[name], answer.get(name), golden.floors[name])
        if found is None:
            counts[-1] += golden.outputs[name].size
        else:
            counts += np.bincount(np.searchsorted(EDGES, found.ravel(), side="right"), minlength=len(counts))
    return [int(count) for count in counts]


def _decisions(
    spec: TensorSpec, goldens: Sequence[Golden], answers: Sequence[Mapping[str, Array]], limit: float
) -> Decisions | None:
    floats = spec.dtype.startswith(_FLOATS)
    classes = spec.shape[-1] if len(spec.shape) >= 2 else None
    if floats and not (isinstance(classes, int) and 2 <= classes <= _MOST_CLASSES):
        return None
    total = flips = near = 0
    for golden, answer in zip(goldens, answers, strict=True):
        expected, floor = golden.outputs[spec.name], golden.floors[spec.name]
        found = answer.get(spec.name)
        if found is None or found.shape != expected.shape or expected.size == 0:
            continue
        if not floats:
            total += expected.size
            differs = np.asarray(found != expected)
            flips += int(differs.sum())
            near += int((differs & (floor > 0)).sum())
            continue
        scores, width = expected.astype(np.float64).reshape(-1, expected.shape[-1]), expected.shape[-1]
        best, other = scores.argmax(-1), found.reshape(-1, width).argmax(-1)
        rows = np.arange(len(scores))
        unit = np.broadcast_to(floor, expected.shape).reshape(-1, width)
        margin = scores[rows, best] - scores[rows, other]
        tie = margin <= limit * (unit[rows, best] + unit[rows, other])
        total += len(scores)
        flips += int((best != other).sum())
        near += int(((best != other) & tie).sum())
    return Decisions(kind="top-1" if floats else "value", count=total, flips=flips, near_ties=near)

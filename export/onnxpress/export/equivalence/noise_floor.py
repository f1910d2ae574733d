"""The noise floor: how far the framework's own float32 answer is from the truth.

The truth is the same network in float64. One that computes in float64 whatever it is given, as scikit-learn's do, has
no noise of its own: there the floor is how far its answer moves when its fitted values are rounded to float32, which
is all that a float32 graph can hold. Where float64 cannot run, the floor is how far the answer moves when the float
inputs move by one unit in the last place: an exporter may not be asked for more than the input's own precision.

A floor is pooled over all cases of one kind, per channel (last axis) when there are enough values for a channel to
show its own noise, and over the whole output otherwise, as in a channel that hardly varies. It is never less than the
dtype's epsilon times the pool's scale: a reference that happens to be exact does not make the smallest rounding of the
export an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import NotEquivalent
from onnxpress.core.golden import Golden
from onnxpress.core.processing import Label, Threshold, TopK
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.equivalence.cases import Case
from onnxpress.export.equivalence.reference import Reference
from onnxpress.export.equivalence.results import CaseResult
from onnxpress.export.network import Choice, TruthUnavailable

Method = Literal["float64", "ulp"]
ROWS_PER_CHANNEL = 32
_MOST_ROWS = 512


def reference_results(
    reference: Reference,
    cases: Sequence[Case],
    outputs: Sequence[TensorSpec],
    limit: float,
    ranges: Mapping[str, float] | None = None,
) -> tuple[list[CaseResult], Method]:
    """What the original says to every case, with its noise floor; and how the floor was found.

    `ranges` holds the widths of bounded outputs: a floor there is at least the dtype's epsilon times the width.
    For a non-float output the floor marks near-ties with 1: elements that the truth decides otherwise than the
    reference, or whose score lies within `limit` floors of its threshold. Raises NotEquivalent where the original has
    no such output.
    """
    answers = [reference.run(case.feeds) for case in cases]
    try:
        truths = [reference.run(in_float64(case.feeds), "float64") for case in cases]
        method: Method = "float64"
    except TruthUnavailable:
        truths = [reference.run(moved(case.feeds), "float32") for case in cases]
        method = "ulp"
    deciding = {step.output: step for step in reference.processing.after if isinstance(step, Threshold | Label | TopK)}
    taken = reference.decisions()
    names = {spec.name for spec in outputs}
    wanted = names | {step.input for name, step in deciding.items() if name in names}
    for name in sorted(wanted):
        if name not in answers[0]:
            raise NotEquivalent(f"the reference does not produce the output {name!r}; it has {', '.join(answers[0])}")
    floors = pooled_floors(cases, answers, truths, wanted)
    for narrowed in _narrowed(reference, cases, method):
        for floor, own in zip(floors, pooled_floors(cases, narrowed, truths, wanted), strict=True):
            floor |= {name: np.maximum(floor[name], value) for name, value in own.items()}
    for name, width in (ranges or {}).items():
        for answer, floor in zip(answers, floors, strict=True):
            if name in floor and answer[name].dtype.kind == "f":
                floor[name] = np.maximum(floor[name], float(np.finfo(answer[name].dtype).eps) * width)
    results = []
    for case, answer, truth, floor in zip(cases, answers, truths, floors, strict=True):
        for name, step in deciding.items():
            if name in names:
                ties = near_ties(step, answer[step.input], limit * floor[step.input])
                floor[name] = np.maximum(floor[name], ties)
        for name, (scores, choice) in taken.items():
            if {name, scores} <= names:
                floor[name] = np.maximum(floor[name], tied(choice, answer[scores], limit * floor[scores]))
        golden = Golden(case.feeds, {n: answer[n] for n in names}, {n: floor[n] for n in names})
        results.append(CaseResult(case, golden, truth if method == "float64" else None))
    return results, method


def _narrowed(reference: Reference, cases: Sequence[Case], method: Method) -> Iterator[list[dict[str, Array]]]:
    """The answers to all cases on fitted values of float32, in float32 and in float64; none of others, see Narrowing.

    In float32 alone the rounding of a few rows may happen to take back what the rounded values moved.
    """
    for precision in ("float32", "float64") if method == "float64" else ("float32",):
        answers = []
        for case in cases:
            feeds = in_float64(case.feeds) if precision == "float64" else dict(case.feeds)
            answer = reference.narrowed(feeds, precision)
            if answer is None:
                return
            answers.append(answer)
        yield answers


def pooled_floors(
    cases: Sequence[Case],
    references: Sequence[Mapping[str, Array]],
    truths: Sequence[Mapping[str, Array]],
    names: Iterable[str],
) -> list[dict[str, Array]]:
    """For every case the floor of each named tensor, pooled over the cases that share their values' scale."""
    floors: list[dict[str, Array]] = [{} for _ in cases]
    for label in dict.fromkeys(case.pool for case in cases):
        members = [number for number, case in enumerate(cases) if case.pool == label]
        for name in names:
            open_to = [cases[n].ties.get(name) for n in members]
            pooled = pool([references[n][name] for n in members], [truths[n][name] for n in members], open_to)
            for number, floor in zip(members, pooled, strict=True):
                floors[number][name] = floor
    return floors


def near_ties(step: Threshold | Label | TopK, scores: Array, noise: Array) -> Array:
    """Where `noise` around the scores could decide otherwise: bool, of the decision's shape.

    A label is a tie where another score comes as near to the highest as their noise together; the k-th of the best
    where a neighbour in the order does.
    """
    values = scores.astype(np.float64)
    if isinstance(step, Threshold):
        result: Array = np.abs(values - step.value) <= noise
        return result
    tied = _among_best(values, noise, step.k if isinstance(step, TopK) else 1)
    return tied if isinstance(step, TopK) else tied[..., 0]


def _among_best(values: Array, noise: Array, best: int) -> Array:
    """Of the `best` highest along the last axis, in their order: which have a neighbour within the noise of both."""
    order = np.argsort(-values, axis=-1, kind="stable")
    ranked = np.take_along_axis(values, order, axis=-1)
    around = np.take_along_axis(np.broadcast_to(noise, values.shape), order, axis=-1)
    with np.errstate(invalid="ignore"):
        close = -np.diff(ranked, axis=-1) <= around[..., :-1] + around[..., 1:]
    edge = np.zeros((*close.shape[:-1], 1), bool)
    result: Array = (np.concatenate([edge, close], axis=-1) | np.concatenate([close, edge], axis=-1))[..., :best]
    return result


def tied(choice: Choice, scores: Array, noise: Array) -> Array:
    """Where `noise` around the scores, classes on their last axis, could decide otherwise: bool, one for each row."""
    if choice == "sign":
        return np.asarray((np.abs(scores.astype(np.float64)) <= noise).all(axis=-1))
    values = scores.astype(np.float64)
    return _among_best(values if choice == "highest" else -values, noise, 1)[..., 0]


def pool(
    references: Sequence[Array], truths: Sequence[Array], ties: Sequence[Array | None] | None = None
) -> list[Array]:
    """One floor array (float64, the output's shape) per case; for non-float outputs 1 where the truth differs.

    Elements that a tie decides show no noise, and have no floor that they could be held against: 1, or infinity.
    """
    tied = [
        np.zeros(r.shape, bool) if tie is None else tie
        for r, tie in zip(references, ties or [None] * len(references), strict=True)
    ]
    if references[0].dtype.kind != "f":
        return [np.asarray((r != t) | tie, np.float64) for r, t, tie in zip(references, truths, tied, strict=True)]
    truths = [np.where(tie, r, t) for r, t, tie in zip(references, truths, tied, strict=True)]
    last = references[0].shape[-1] if references[0].ndim >= 2 else None
    rows = sum(r.size // last if last else 0 for r in references)
    by_channel = last is not None and rows >= ROWS_PER_CHANNEL and all(r.shape[-1:] == (last,) for r in references)
    epsilon = float(np.finfo(references[0].dtype).eps)
    noise = _largest((np.abs(_finite(r) - _finite(t)) for r, t in zip(references, truths, strict=True)), by_channel)
    scale = _largest((np.abs(_finite(t)) for t in truths), by_channel)
    whole = float(np.max(scale, initial=0.0))
    # A channel that is all zeros has no scale of its own; the output's then stands in.
    floor = np.maximum(noise, epsilon * np.where(scale == 0, whole, scale))
    if by_channel:
        floor = np.where(_telling(references), floor, np.maximum(floor, np.max(noise, initial=0.0)))
    floor = np.maximum(floor, np.finfo(np.float32).smallest_subnormal)
    return [
        # What overflows in the original itself, and not in the truth, is not held against the export.
        np.where((~np.isfinite(r) & np.isfinite(t)) | tie, np.inf, np.broadcast_to(floor, r.shape))
        for r, t, tie in zip(references, truths, tied, strict=True)
    ]


def _telling(references: Sequence[Array]) -> Array:
    """Which channels take enough different values to show their own noise.

    One that hardly varies shows the same rounding in every row, and one that is clipped to zero shows none.
    """
    rows = np.concatenate([r.reshape(-1, r.shape[-1])[:_MOST_ROWS] for r in references])[:_MOST_ROWS]
    values = np.sort(_finite(rows), axis=0)
    result: Array = 1 + np.count_nonzero(np.diff(values, axis=0), axis=0) >= ROWS_PER_CHANNEL // 2
    return result


def _largest(arrays: Iterable[Array], by_channel: bool) -> Array:
    parts = [a.reshape(-1, a.shape[-1]).max(0, initial=0) if by_channel else a.max(initial=0) for a in arrays]
    result: Array = np.max(np.stack(parts), axis=0)
    return result


def _finite(values: Array) -> Array:
    """As float64, with NaN and infinity as 0: they are compared by kind, not by distance."""
    return np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)


def in_float64(feeds: Mapping[str, Array]) -> dict[str, Array]:
    """The feeds with their floats in float64."""
    return {name: value.astype(np.float64) if value.dtype.kind == "f" else value for name, value in feeds.items()}


def moved(feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Every float moved by one unit in the last place, up or down by a seeded coin."""
    generator = np.random.default_rng(0)
    found = {}
    for name, value in feeds.items():
        if value.dtype.kind == "f":
            direction = np.where(generator.integers(0, 2, value.shape) == 1, np.inf, -np.inf).astype(value.dtype)
            value = np.nextafter(value, direction)
        found[name] = value
    return found

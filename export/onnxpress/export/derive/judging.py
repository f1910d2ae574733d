"""A derived version's answers against its parent's: decisions, distributions, neighbours, errors."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData, UsageError
from onnxpress.core.golden import LIMIT
from onnxpress.core.manifest import Manifest
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.derive.choices import Kind
from onnxpress.export.derive.figures import OutputJudged
from onnxpress.export.derive.proportion import upper_bound
from onnxpress.export.derive.resampling import Metric, paired

_MOST_CLASSES = 10_000
_EMBEDDING = re.compile(r"embed|pooled|hidden|feature|vector|representation", re.IGNORECASE)
_BOXES = re.compile(r"box", re.IGNORECASE)
_SUM = 1e-3
"""how far from one a row of probabilities may sum"""
_OVERLAP = 0.75
"""intersection over union of boxes that match"""
_TINY = 1e-12
_CONSTANT = 1e-6
"""of the largest spread of a column"""
_NEIGHBOURS = 4000
"""rows among which nearest neighbours are looked for"""


def kind_of(spec: TensorSpec, answer: Array, manifest: Manifest, chosen: Mapping[str, Kind]) -> Kind:
    """What a caller takes from an output: `chosen` says so, else its name, labels, threshold and values."""
    if spec.name in chosen:
        return chosen[spec.name]
    if not spec.dtype.startswith(("float", "bfloat", "double")):
        return "values"
    if spec.name in manifest.thresholds:
        return "threshold"
    width = answer.shape[-1] if answer.ndim >= 2 else 1
    if _BOXES.search(spec.name) and width == 4:
        return "boxes"
    if spec.name in manifest.labels and width >= 2:
        return "classes"
    if width < 2 or width > _MOST_CLASSES:
        return "regression"
    if is_distribution(answer):
        return "classes"
    unit = np.abs(np.linalg.norm(np.asarray(answer, np.float64), axis=-1) - 1).max() < _SUM
    return "embedding" if unit or _EMBEDDING.search(spec.name) else "classes"


def is_distribution(answer: Array) -> bool:
    """Whether every row along the last axis is one of probabilities."""
    value = np.asarray(answer, np.float64)
    return bool(np.all(value >= 0) and np.all(np.abs(value.sum(-1) - 1) < _SUM))


def judge(
    parent: Mapping[str, Array],
    derived: Mapping[str, Array],
    kinds: Mapping[str, Kind],
    *,
    floors: Mapping[str, float],
    thresholds: Mapping[str, float],
    labels: Mapping[str, Array] | None = None,
) -> list[OutputJudged]:
    """Every output over the same rows. `floors` is each output's noise floor of the parent, in its own units."""
    found = []
    for name, kind in kinds.items():
        before, after = parent[name], derived[name]
        if before.shape != after.shape:
            raise BadData(f"{name!r} has the shape {after.shape}, the parent's has {before.shape}")
        if kind == "values":
            found.append(_values(name, before, after))
            continue
        old, new = before.astype(np.float64), after.astype(np.float64)
        lost = int(np.sum(np.isfinite(old) & ~np.isfinite(new)))
        sound = np.isfinite(old) & np.isfinite(new)
        rms = float(np.sqrt(np.mean((new - old)[sound] ** 2))) if sound.any() else 0.0
        # The parent's own rounding, on either side of a tie.
        tie = 2 * LIMIT * max(floors.get(name, 0.0), _TINY)
        if kind == "classes":
            one = _classes(name, old, new, tie)
        elif kind == "threshold":
            one = _threshold(name, old, new, thresholds.get(name, 0.5), tie)
        elif kind == "embedding":
            one = _embedding(name, old, new, tie)
        elif kind == "boxes":
            one = _boxes(name, old, new)
        else:
            one = _regression(name, old, new, (labels or {}).get(name))
        found.append(msgspec.structs.replace(one, not_finite=lost, rms=rms))
    return found


def _bound(flips: int, decisions: int, rows: int) -> float:
    """Rows are what was drawn: where each takes many decisions, the bound is that of as many rows."""
    if decisions <= rows:
        return upper_bound(flips, decisions)
    return upper_bound(int(np.ceil(flips / decisions * rows)), rows)


def _values(name: str, before: Array, after: Array) -> OutputJudged:
    flips = int(np.sum(np.asarray(before != after)))
    bound = _bound(flips, before.size, len(before))
    return OutputJudged(name=name, kind="values", decisions=before.size, flips=flips, bound=bound)


def _classes(name: str, old: Array, new: Array, tie: float) -> OutputJudged:
    width = old.shape[-1]
    p, q = old.reshape(-1, width), new.reshape(-1, width)
    at = np.arange(len(p))
    best, other = p.argmax(-1), np.where(np.isnan(q), -np.inf, q).argmax(-1)
    differs = best != other
    near = differs & (p[at, best] - p[at, other] <= tie)
    flips = int(differs.sum() - near.sum())
    kl = divergence(p, q)
    return OutputJudged(
        name=name,
        kind="classes",
        decisions=len(p),
        flips=flips,
        near_ties=int(near.sum()),
        bound=_bound(flips, len(p), len(old)),
        kl_mean=float(kl.mean()),
        kl_worst=float(kl.max()),
    )


def divergence(old: Array, new: Array) -> Array:
    """Kullback-Leibler divergence of each row, in nats; scores that are no probabilities go through softmax."""
    p, q = _distribution(old), _distribution(new)
    p, q = np.clip(p, _TINY, None), np.clip(np.nan_to_num(q), _TINY, None)
    result: Array = np.maximum((p * (np.log(p) - np.log(q))).sum(-1), 0.0)
    return result


def _distribution(scores: Array) -> Array:
    value = np.nan_to_num(np.asarray(scores, np.float64))
    if is_distribution(value):
        return value
    exp = np.exp(value - value.max(-1, keepdims=True))
    result: Array = exp / exp.sum(-1, keepdims=True)
    return result


def _threshold(name: str, old: Array, new: Array, threshold: float, tie: float) -> OutputJudged:
    differs = (old > threshold) != (new > threshold)
    near = differs & (np.abs(old - threshold) <= tie)
    flips = int(differs.sum() - near.sum())
    return OutputJudged(
        name=name,
        kind="threshold",
        decisions=old.size,
        flips=flips,
        near_ties=int(near.sum()),
        bound=_bound(flips, old.size, len(old)),
    )


def _embedding(name: str, old: Array, new: Array, tie: float) -> OutputJudged:
    a, b = (_unit(value.reshape(len(value), -1)) for value in (old, new))
    cosine = (a * b).sum(-1)
    a, b = a[:_NEIGHBOURS], b[:_NEIGHBOURS]
    near, other, rows = _similar(a), _similar(b), np.arange(len(a))
    best, found = near.argmax(-1), other.argmax(-1)
    differs = best != found
    # A cosine of unit vectors moves by no more than the vectors do.
    moved = tie * np.sqrt(old.shape[-1]) / max(float(np.linalg.norm(old.reshape(len(old), -1), axis=-1).min()), _TINY)
    ties = differs & (near[rows, best] - near[rows, found] <= moved)
    flips = int(differs.sum() - ties.sum())
    return OutputJudged(
        name=name,
        kind="embedding",
        decisions=len(a),
        flips=flips,
        near_ties=int(ties.sum()),
        bound=upper_bound(flips, len(a)),
        cosine_mean=float(cosine.mean()),
        cosine_worst=float(cosine.min()),
    )


def _unit(value: Array) -> Array:
    value = np.nan_to_num(value)
    result: Array = value / np.maximum(np.linalg.norm(value, axis=-1, keepdims=True), _TINY)
    return result


def _similar(units: Array) -> Array:
    """Cosines of all pairs; a row is no neighbour of its own."""
    found: Array = units @ units.T
    np.fill_diagonal(found, -np.inf)
    return found


def _boxes(name: str, old: Array, new: Array) -> OutputJudged:
    """Boxes `(rows, boxes, 4)` as left, top, right, bottom: those of the parent that no derived one overlaps."""
    a, b = old.reshape(len(old), -1, 1, 4), new.reshape(len(new), 1, -1, 4)
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])
    shared = np.prod(np.clip(high - low, 0, None), -1)
    sizes = [np.prod(np.clip(box[..., 2:] - box[..., :2], 0, None), -1) for box in (a, b)]
    overlap = shared / np.maximum(sizes[0] + sizes[1] - shared, _TINY)
    missed = (overlap.max(-1) < _OVERLAP) & (sizes[0][..., 0] > 0)
    flips, count = int(missed.sum()), missed.size
    return OutputJudged(name=name, kind="boxes", decisions=count, flips=flips, bound=_bound(flips, count, len(old)))


def _regression(name: str, old: Array, new: Array, labels: Array | None) -> OutputJudged:
    """Column by column, as each has a unit of its own; the worst column's error counts."""
    columns = old.shape[-1] if old.ndim > 1 else 1
    before, after = old.reshape(-1, columns), new.reshape(-1, columns)
    unit, told = np.nanstd(before, axis=0), "the parent's spread"
    if labels is not None:
        wanted = _fitting(name, labels, old.shape).astype(np.float64).reshape(-1, columns)
        unit, told = np.sqrt(np.nanmean((before - wanted) ** 2, axis=0)), "the parent's own error"
    # A column that is always the same has no spread of its own.
    unit = np.where(unit > _CONSTANT * np.max(unit, initial=0.0), unit, np.max(unit, initial=0.0))
    off = np.nan_to_num(np.abs(after - before)) / np.maximum(unit, _TINY)
    error, worst = float(np.sqrt(np.mean(off**2, axis=0)).max(initial=0.0)), float(off.max(initial=0.0))
    return OutputJudged(name=name, kind="regression", error=error, error_worst=worst, unit=told)


def _fitting(name: str, labels: Array, shape: Sequence[int]) -> Array:
    """The labels in the shape of what they belong to. Raises UsageError where they have another number of values."""
    if labels.size != int(np.prod(shape)):
        raise UsageError(
            f"the labels of {name!r} have the shape {labels.shape}, what it decides has {tuple(shape)}",
            hint="give one label for each decision: the number of the class, its name, or the value",
        )
    return labels.reshape(shape)


def metrics(
    parent: Mapping[str, Array],
    derived: Mapping[str, Array],
    kinds: Mapping[str, Kind],
    labels: Mapping[str, Array],
    names: Mapping[str, Sequence[str]],
    thresholds: Mapping[str, float],
) -> list[Metric]:
    """The task's metric of every output that there are labels for: `accuracy`, or `error` (mean absolute).

    Raises UsageError for labels that no output can be held against.
    """
    found = []
    for name, wanted in labels.items():
        kind, before, after = kinds[name], parent[name], derived[name]
        if kind == "regression":
            if wanted.dtype.kind not in "fiub":
                raise UsageError(f"the labels of {name!r} are words, and it answers values", hint="give the values")
            truth = _fitting(name, wanted, before.shape).astype(np.float64)
            errors = [np.abs(one - truth).reshape(len(one), -1).mean(-1) for one in (before, after)]
            found.append(paired("error", name, errors[0], errors[1], more_is_better=False))
            continue
        right = [_right(name, one, kind, wanted, names.get(name, ()), thresholds) for one in (before, after)]
        found.append(paired("accuracy", name, right[0], right[1], more_is_better=True))
    return found


def _right(
    name: str, answer: Array, kind: Kind, wanted: Array, names: Sequence[str], thresholds: Mapping[str, float]
) -> Array:
    """1.0 for each row that is decided as its label says."""
    if kind in ("embedding", "boxes"):
        raise UsageError(f"{name!r} is judged as {kind}, for which there is no metric", hint="leave out its labels")
    decided = answer
    if kind == "classes":
        decided = answer.argmax(-1)
    elif kind == "threshold":
        decided = (answer > thresholds.get(name, 0.5)).astype(np.int64)
    if kind != "values" and wanted.dtype.kind in "OUS":
        if not names:
            raise UsageError("the labels are words, and the model has none", hint="give the numbers of the classes")
        decided = np.asarray(names, object)[decided]
    same = np.asarray(decided == _fitting(name, wanted, decided.shape), np.float64)
    result: Array = same.reshape(len(same), -1).mean(-1)
    return result


def paired_labels(given: Mapping[str, Array], kinds: Mapping[str, Kind], rows: int, where: str) -> dict[str, Array]:
    """Output → labels. An array that has no output's name belongs to the first output that is decided.

    Raises UsageError where the numbers of rows differ, or nothing is decided.
    """
    found = {}
    for name, value in given.items():
        if len(value) != rows:
            raise UsageError(f"there are {len(value)} labels for {rows} rows", where=where)
        if name in kinds:
            found[name] = value
            continue
        order: tuple[Kind, ...] = ("values", "classes", "threshold", "regression")
        free = [one for kind in order for one, own in kinds.items() if own == kind and one not in found]
        words = value.dtype.kind in "OUS"
        free = [one for one in free if not (kinds[one] == "values" and value.dtype.kind == "f" and not words)]
        if not free:
            raise UsageError(f"no output can be held against the labels {name!r}", where=where)
        found[free[0]] = value
    return found

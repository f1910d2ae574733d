"""Dividing groups that have rows of several classes, such as people with seizures and false alarms.

Such a group has no class of its own to be divided by. Of several divisions at random that one is taken whose parts are
most alike in size and in their shares of every class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData
from onnxpress.core.optional import require
from onnxpress.training.settings import Training

_ATTEMPTS = 100
_MISSING = 10.0
"""how much a class that a part lacks counts, where shares differ by less than one"""


def are_mixed(groups: Array, classes: Array) -> bool:
    """Whether a group has rows of several classes; both are (rows,) of names."""
    pairs = np.unique(np.stack([groups.astype(str), classes.astype(str)]), axis=1)
    return pairs.shape[1] > len(np.unique(groups))


def parts(classes: Array, training: Training, groups: Array) -> list[Array]:
    """Row numbers to train on, to validate on, and held out, as `split.parts` has them.

    Raises BadData where a class is in too few groups to be in every part.
    """
    group_names, group_of = np.unique(groups, return_inverse=True)
    class_names, class_of = np.unique(classes, return_inverse=True)
    rows = np.zeros((len(group_names), len(class_names)), np.int64)
    np.add.at(rows, (group_of, class_of), 1)
    found = _divided(np.arange(len(rows)), rows, training)
    folded = training.fold is not None
    for part in found[:1] if folded else found:
        lacking = np.flatnonzero(rows[part].sum(axis=0) == 0)
        if lacking.size:
            name, count = class_names[lacking[0]], int((rows[:, lacking[0]] > 0).sum())
            raise BadData(
                f"{str(name)!r} is in {count} of {len(rows)} groups, too few to be in every part",
                where="data.group",
                hint="give more groups, or keep less together: data.group",
            )
    return [np.flatnonzero(np.isin(group_of, part)) for part in found]


def _divided(units: Array, rows: Array, training: Training) -> list[Array]:
    fold = training.fold
    if fold is None or training.ensemble:
        seen, held_out = _best(_shares(units, training.held_out_share), rows, training.seed)
    else:
        held_out = _best(_folds(units, training.folds or 2), rows, training.seed)[fold]
        seen = np.setdiff1d(units, held_out)
    if fold is not None and training.ensemble:
        validation = _best(_folds(seen, training.folds or 2), rows, training.seed)[fold]
        return [np.setdiff1d(seen, validation), validation, held_out]
    train, validation = _best(_shares(seen, training.validation_share), rows, training.seed)
    return [train, validation, held_out]


Cut = Callable[[int], tuple[Sequence[Array], Sequence[float]]]
"""seed → the parts, and the share of all rows that each is to have"""


def _shares(units: Array, share: float) -> Cut:
    count = min(max(1, round(len(units) * share)), len(units) - 1)

    def cut(seed: int) -> tuple[Sequence[Array], Sequence[float]]:
        order = np.random.default_rng(seed).permutation(units)
        return [np.sort(order[count:]), np.sort(order[:count])], [1 - share, share]

    return cut


def _folds(units: Array, count: int) -> Cut:
    selection = require("sklearn.model_selection", needed_by="dividing the rows")

    def cut(seed: int) -> tuple[Sequence[Array], Sequence[float]]:
        try:
            folds: Any = selection.KFold(count, shuffle=True, random_state=seed).split(units)
            return [units[own] for _, own in folds], [1 / count] * count
        except ValueError as error:
            raise BadData(f"{len(units)} groups cannot be {count} folds: {error}", where="training.folds") from None

    return cut


def _best(cut: Cut, rows: Array, seed: int) -> Sequence[Array]:
    """The first of the most even divisions."""
    found = [cut(seed + attempt) for attempt in range(_ATTEMPTS)]
    return min(found, key=lambda one: _unevenness(one[0], one[1], rows))[0]


def _unevenness(divided: Sequence[Array], sizes: Sequence[float], rows: Array) -> float:
    whole = rows[np.concatenate(divided)].sum(axis=0)
    known = whole > 0
    total = 0.0
    for part, size in zip(divided, sizes, strict=True):
        own = rows[part].sum(axis=0)
        shares = own / max(1, own.sum()) - whole / max(1, whole.sum())
        total += abs(own.sum() / max(1, whole.sum()) - size) + float(np.abs(shares).sum())
        total += _MISSING * int((own[known] == 0).sum())
    return total

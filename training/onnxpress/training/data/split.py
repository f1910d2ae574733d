"""Dividing row numbers into parts, seeded, by scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData
from onnxpress.core.optional import require
from onnxpress.training.data import mixed_groups
from onnxpress.training.settings import Training

Rows = np.ndarray[Any, np.dtype[np.int64]]
"""row numbers, ascending"""


def parts(classes: Array | None, training: Training, *, rows: int, groups: Array | None = None) -> list[Rows]:
    """Row numbers to train on, to validate on, and held out; every class in the same proportion in each.

    `groups` (rows,) keep together what must not be divided. Where `training.fold` is set, that fold is held out; of an
    ensemble it is what is validated on, and the same rows are held out whatever the fold.
    Raises BadData naming a class that has too few rows to be in every part.
    """
    if groups is not None and classes is not None and mixed_groups.are_mixed(groups, classes):
        return mixed_groups.parts(classes, training, groups)
    units, kinds, members = _units(classes, groups, rows)
    if kinds is not None:
        _refuse_single(kinds)
    seen, held_out = hold_out(units, kinds, training)
    inner = None if kinds is None else kinds[seen]
    if training.ensemble and training.fold is not None:
        train, validation = _fold(seen, inner, training, training.fold)
    else:
        train, validation = _divide(seen, training.validation_share, seed=training.seed, stratify=inner)
    return [members(part) for part in (train, validation, held_out)]


def hold_out(units: Rows, classes: Array | None, training: Training) -> tuple[Rows, Rows]:
    """`units` divided into (seen in training, held out): by share, or where `training.fold` is set, by fold."""
    if training.fold is None or training.ensemble:
        return _divide(units, training.held_out_share, seed=training.seed, stratify=classes)
    return _fold(units, classes, training, training.fold)


def _fold(units: Rows, classes: Array | None, training: Training, fold: int) -> tuple[Rows, Rows]:
    """`units` divided into (all other folds, this one)."""
    selection = require("sklearn.model_selection", needed_by="dividing the rows")
    kind = selection.StratifiedKFold if classes is not None else selection.KFold
    folds = kind(training.folds, shuffle=True, random_state=training.seed)
    others, own = list(folds.split(units, classes))[fold]
    return np.sort(units[others]), np.sort(units[own])


def shuffled(rows: Rows, share: float, *, seed: int) -> tuple[Rows, Rows]:
    """`rows` divided at random into (the rest, the share). Raises BadData when a part would be empty."""
    return _divide(rows, share, seed=seed, stratify=None)


def _units(classes: Array | None, groups: Array | None, rows: int) -> tuple[Rows, Array | None, Any]:
    """What is divided (rows or groups), the class of each, and a function from units back to rows."""
    if groups is None:
        return np.arange(rows), classes, np.sort
    _, first, group_of = np.unique(groups, return_index=True, return_inverse=True)
    kinds = None if classes is None else classes[first]
    return np.arange(len(first)), kinds, lambda units: np.flatnonzero(np.isin(group_of, units))


def _refuse_single(kinds: Array) -> None:
    names, counts = np.unique(kinds, return_counts=True)
    few = [f"{name!r} has {count}" for name, count in zip(names.tolist(), counts.tolist(), strict=True) if count < 3]
    if few:
        raise BadData(
            f"a class needs at least 3 examples, one for each part: {', '.join(few[:5])}",
            where="the target",
            hint="give more of it, or leave it out",
        )


def _divide(rows: Rows, share: float, *, seed: int, stratify: Array | None) -> tuple[Rows, Rows]:
    selection = require("sklearn.model_selection", needed_by="dividing the rows")
    try:
        rest, taken = selection.train_test_split(rows, test_size=share, random_state=seed, stratify=stratify)
    except ValueError as error:
        raise BadData(
            f"{len(rows)} rows cannot be divided into {1 - share:.0%} and {share:.0%}: {error}",
            hint="give more rows, or change training.held_out_share or training.validation_share",
        ) from None
    return np.sort(rest), np.sort(taken)

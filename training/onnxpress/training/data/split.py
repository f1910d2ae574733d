"""Dividing row numbers into parts, seeded, by scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxpress.core.errors import BadData
from onnxpress.core.optional import require

Rows = np.ndarray[Any, np.dtype[np.int64]]
"""row numbers, ascending"""


def stratified(classes: np.ndarray[Any, Any], share: float, *, seed: int) -> tuple[Rows, Rows]:
    """Row numbers of (the rest, the share), every class of `classes` (rows,) divided in the same proportion.

    Raises BadData when a class has too few rows to be in both parts.
    """
    return _divide(np.arange(len(classes)), share, seed=seed, stratify=classes)


def shuffled(rows: Rows, share: float, *, seed: int) -> tuple[Rows, Rows]:
    """`rows` divided at random into (the rest, the share). Raises BadData when a part would be empty."""
    return _divide(rows, share, seed=seed, stratify=None)


def _divide(rows: Rows, share: float, *, seed: int, stratify: np.ndarray[Any, Any] | None) -> tuple[Rows, Rows]:
    selection = require("sklearn.model_selection", needed_by="dividing the rows")
    try:
        rest, taken = selection.train_test_split(rows, test_size=share, random_state=seed, stratify=stratify)
    except ValueError as error:
        raise BadData(
            f"{len(rows)} rows cannot be divided into {1 - share:.0%} and {share:.0%}: {error}",
            hint="give more rows, or change training.held_out_share or training.validation_share",
        ) from None
    return np.sort(rest), np.sort(taken)

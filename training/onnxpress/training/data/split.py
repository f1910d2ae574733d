"""Dividing rows into parts, seeded and stratified, and scaling fitted on the training part only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from onnxpress.core.errors import BadData
from onnxpress.core.processing import Scale, Unscale

Rows = np.ndarray[Any, np.dtype[np.int64]]


def stratified(labels: np.ndarray[Any, Any], share: float, *, seed: int) -> tuple[Rows, Rows]:
    """Row numbers of (the rest, the share), each label divided in the same proportion.

    Raises BadData when a label has too few rows to be in both parts.
    """
    generator = np.random.default_rng(seed)
    rest, taken = [], []
    for label in np.unique(labels):
        rows = generator.permutation(np.flatnonzero(labels == label))
        count = round(len(rows) * share)
        if len(rows) < 2:
            raise BadData(f"the label {str(label)!r} has {len(rows)} row", hint="a label needs rows on both sides")
        count = min(max(count, 1), len(rows) - 1)
        taken.append(rows[:count])
        rest.append(rows[count:])
    return np.sort(np.concatenate(rest)), np.sort(np.concatenate(taken))


def min_max(x_RF: np.ndarray[Any, np.dtype[np.float32]], names: Sequence[str], *, raw: str, scaled: str) -> Scale:
    """Each column of the training rows to [0, 1]; a constant column to 0. `names` are for the message only."""
    low, high = x_RF.min(axis=0).astype(np.float64), x_RF.max(axis=0).astype(np.float64)
    if not np.isfinite(low).all() or not np.isfinite(high).all():
        bad = [name for name, ok in zip(names, np.isfinite(low) & np.isfinite(high), strict=True) if not ok]
        raise BadData(f"not finite: {', '.join(bad)}")
    span = np.where(high > low, high - low, 1.0)
    return Scale(input=raw, output=scaled, offset=_exact(low), factor=_exact(1.0 / span))


def inverse(scale: Scale, *, input: str, output: str) -> Unscale:  # noqa: A002 - the step's own field name
    """The step that undoes `scale` on another tensor."""
    return Unscale(input=input, output=output, offset=scale.offset, unit=_exact(1.0 / np.asarray(scale.factor)))


def _exact(values: np.ndarray[Any, Any]) -> list[float]:
    """Rounded to float32, so that numpy, the graph and the float64 truth use the very same constants."""
    rounded: list[float] = values.astype(np.float32).astype(np.float64).tolist()
    return rounded

"""The difference of a metric between two models on the same rows, with a bootstrap interval."""

from __future__ import annotations

import msgspec
import numpy as np

from onnxpress.core.arrays import Array

_DRAWS = 2000
_LOW, _HIGH = 0.05, 0.95


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """A task's metric of both. `loss` is how much worse the derived version is, and may be negative."""

    name: str
    output: str
    parent: float
    derived: float
    loss: float
    low: float
    """one-sided 95 % bounds of the loss, from 2,000 paired resamples of the rows"""
    high: float


def paired(name: str, output: str, parent: Array, derived: Array, *, more_is_better: bool) -> Metric:
    """The metric as the mean of one number for each row, float64 `(rows,)` of both models.

    Rows are drawn together: what both find hard stays hard for both.
    """
    worse = parent - derived if more_is_better else derived - parent
    draw, rows = np.random.default_rng(0), len(worse)
    means = np.array([worse[draw.integers(0, rows, rows)].mean() for _ in range(_DRAWS)])
    low, high = np.quantile(means, [_LOW, _HIGH])
    return Metric(
        name=name,
        output=output,
        parent=float(parent.mean()),
        derived=float(derived.mean()),
        loss=float(worse.mean()),
        low=float(low),
        high=float(high),
    )

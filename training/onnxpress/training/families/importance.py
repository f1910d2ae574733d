"""Which columns a network needs: how much worse it answers when one column of the held-out rows is shuffled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.training import plots
from onnxpress.training.families import classification
from onnxpress.training.families.prepared import Outcome, Predict, Prepared
from onnxpress.training.fitting import losses

_REPEATS = 5
_ROWS = 2000
"""at most: what more rows would tell is less than what they cost"""


def added(outcome: Outcome, means: Mapping[str, float], spreads: Mapping[str, float], *, title: str) -> Outcome:
    """The outcome with `importance_of_COLUMN` for each column, and a picture of them; see `permuted`."""
    figure = plots.importance(means, spreads, title=f"{title}: held-out rows, importance of columns")
    return replace(
        outcome,
        metrics={**outcome.metrics, **{f"importance_of_{name}": mean for name, mean in means.items()}},
        plots={**outcome.plots, "importance.png": figure},
    )


def permuted(prepared: Prepared, predict: Predict) -> tuple[dict[str, float], dict[str, float]]:
    """Column → its importance, and the standard deviation over the shuffles.

    The importance is the loss of the held-out rows with the column shuffled less the loss without, the mean of 5
    shuffles (Breiman 2001; Fisher, Rudin and Dominici 2019). Near 0: the column is not needed.
    """
    generator = np.random.default_rng(prepared.seed)
    rows = min(_ROWS, len(prepared.target))
    raw = {name: column[:rows] for name, column in prepared.held_out.items()}
    y = _truth(prepared)[:rows]
    names = [spec.name for spec in prepared.network_inputs]

    def loss(columns: dict[str, Array]) -> float:
        return losses.mean(prepared.loss, predict(classification.network_tensors(prepared.before, columns, names)), y)

    whole = loss(raw)
    rises = {
        name: [loss({**raw, name: generator.permutation(column)}) - whole for _ in range(_REPEATS)]
        for name, column in raw.items()
    }
    means = {name: float(np.mean(values)) for name, values in rises.items()}
    return means, {name: float(np.std(values, ddof=1)) for name, values in rises.items()}


def _truth(prepared: Prepared) -> Array:
    """The held-out rows' targets in the form that the loss takes."""
    y: Array = prepared.target
    if prepared.unit is not None:
        y = (y - prepared.unit.offset[0]) / prepared.unit.unit[0]
    return y.astype(np.float32)[:, None] if prepared.loss != "cross_entropy" else y

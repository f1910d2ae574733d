"""The run's pictures: the loss by epoch, and the held-out scores on both sides of the threshold."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxpress.core.optional import require
from onnxpress.training.fitting import Array, History

_BLUE, _RED, _LINE = "#2a78b5", "#d1495b", "#444444"  # told apart by readers who do not see red and green


def loss_curve(history: History, *, title: str) -> Any:
    """Training and validation loss by epoch on a logarithmic scale, the kept epoch marked; a matplotlib Figure."""
    figure, axes = _axes(title)
    epochs = np.arange(1, len(history.training_loss) + 1)
    marker = "o" if len(epochs) == 1 else None  # one point makes no line
    axes.plot(epochs, history.training_loss, color=_BLUE, marker=marker, label="training (with dropout)")
    axes.plot(epochs, history.validation_loss, color=_RED, marker=marker, label="validation")
    axes.axvline(history.best_epoch, color=_LINE, linestyle=":", label=f"kept: epoch {history.best_epoch}")
    axes.set(xlabel="epoch", ylabel="mean squared error", yscale="log")
    axes.legend(frameon=False)
    return figure


def score_histogram(scores: Array, is_anomaly: Array, threshold: float, *, title: str) -> Any:
    """Scores (rows,), normal and anomalous ones stacked, on a logarithmic axis with the threshold; a Figure."""
    figure, axes = _axes(title)
    positive = np.maximum(scores, np.finfo(np.float32).tiny)  # a perfect rebuild has no logarithm
    axes.hist(
        [positive[~is_anomaly], positive[is_anomaly]],
        bins=_edges(positive, threshold),
        stacked=True,
        color=[_BLUE, _RED],
        label=[f"normal ({(~is_anomaly).sum()})", f"anomaly ({is_anomaly.sum()})"],
    )
    axes.axvline(threshold, color=_LINE, linestyle="--", label=f"threshold {threshold:.3g}")
    axes.set(xlabel="reconstruction error (score)", ylabel="rows", xscale="log")
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False)
    return figure


def _edges(positive: Array, threshold: float) -> Array:
    """Some 40 bins of equal width on a logarithmic axis, the threshold on an edge: no bar stands on both sides."""
    low, middle, high = np.log([positive.min(), max(threshold, np.finfo(np.float32).tiny), positive.max()])
    width = max(high - low, 1e-3) / 40
    first, last = np.floor((low - middle) / width) - 1, np.ceil((high - middle) / width) + 1
    edges: Array = np.exp(middle + width * np.arange(first, last + 1))
    return edges


def _axes(title: str) -> tuple[Any, Any]:
    # Figure itself, not pyplot: no display, no global state, nothing to close.
    figure = require("matplotlib.figure", needed_by="drawing a run").Figure(
        figsize=(7, 4.2), dpi=120, layout="constrained"
    )
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, which="both")
    axes.set_axisbelow(True)
    return figure, axes

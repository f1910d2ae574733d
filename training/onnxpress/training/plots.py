"""The run's pictures: the loss by epoch, and the held-out scores on both sides of the threshold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from onnxpress.core.optional import require
from onnxpress.training.fitting import History

_NORMAL, _ANOMALY, _LINE = "#2a78b5", "#d1495b", "#444444"


def _axes(title: str) -> tuple[Any, Any]:
    figures = require("matplotlib.figure", needed_by="drawing a run")
    figure = figures.Figure(figsize=(7, 4.2), dpi=120, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    return figure, axes


def loss_curve(path: Path, history: History, *, title: str) -> None:
    """Training and validation loss by epoch, on a logarithmic scale, the kept epoch marked."""
    figure, axes = _axes(title)
    epochs = np.arange(1, len(history.training_loss) + 1)
    axes.plot(epochs, history.training_loss, color=_NORMAL, label="training (with dropout)")
    axes.plot(epochs, history.validation_loss, color=_ANOMALY, label="validation")
    axes.axvline(history.best_epoch, color=_LINE, linestyle=":", label=f"kept: epoch {history.best_epoch}")
    axes.set(xlabel="epoch", ylabel="mean squared error", yscale="log")
    axes.legend(frameon=False)
    figure.savefig(path)


def score_histogram(
    path: Path, scores: np.ndarray[Any, Any], is_anomaly: np.ndarray[Any, Any], threshold: float, *, title: str
) -> None:
    """Held-out scores, normal and anomalous rows beside each other, on a logarithmic axis with the threshold."""
    figure, axes = _axes(title)
    positive = np.maximum(scores, np.finfo(np.float32).tiny)
    bins = np.geomspace(positive.min() * 0.9, positive.max() * 1.1, 40)
    axes.hist(
        [positive[~is_anomaly], positive[is_anomaly]],
        bins=bins,
        stacked=True,
        color=[_NORMAL, _ANOMALY],
        label=[f"normal ({(~is_anomaly).sum()})", f"anomaly ({is_anomaly.sum()})"],
    )
    axes.axvline(threshold, color=_LINE, linestyle="--", label=f"threshold {threshold:.3g}")
    axes.set(xlabel="reconstruction error (score)", ylabel="held-out rows", xscale="log")
    axes.legend(frameon=False)
    figure.savefig(path)

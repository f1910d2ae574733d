"""The run's pictures: the loss by epoch, and the held-out scores on both sides of the threshold."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxpress.core.optional import require
from onnxpress.training import metrics
from onnxpress.training.fitting import History
from onnxpress.training.losses import Array

_BLUE, _RED, _LINE = "#2a78b5", "#d1495b", "#444444"  # told apart by readers who do not see red and green
_LABEL, _NUMBERED = 24, 12  # longest label that is shown whole; most classes whose counts fit into the matrix


def loss_curve(history: History, *, title: str, loss: str) -> Any:
    """Training and validation loss by epoch on a logarithmic scale, the kept epoch marked; a matplotlib Figure."""
    figure, axes = _axes(title)
    epochs = np.arange(1, len(history.training_loss) + 1)
    marker = "o" if len(epochs) == 1 else None  # one point makes no line
    axes.plot(epochs, history.training_loss, color=_BLUE, marker=marker, label="training (with dropout)")
    axes.plot(epochs, np.array(history.validation_loss, float), color=_RED, marker=marker, label="validation")
    axes.axvline(history.best_epoch, color=_LINE, linestyle=":", label=f"kept: epoch {history.best_epoch}")
    axes.set(xlabel="epoch", ylabel=loss, yscale="log")
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


def confusion(truth: Array, found: Array, classes: list[str], *, title: str) -> Any:
    """Rows by true label (down) and predicted label (across), shaded by the share of the true label; a Figure."""
    count = len(classes)
    matrix = metrics.confusion(truth, found, classes=count)
    share = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    figure, axes = _axes(title)
    axes.grid(visible=False)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    names = [name if len(name) <= _LABEL else name[: _LABEL - 1] + "…" for name in classes]
    axes.set_xticks(range(count), names, rotation=45 if count > 3 else 0, ha="right" if count > 3 else "center")
    axes.set_yticks(range(count), names)
    axes.set(xlabel="predicted", ylabel="true")
    if count <= _NUMBERED:
        for row, column in np.ndindex(count, count):
            color = "white" if share[row, column] > 0.5 else _LINE
            axes.text(column, row, str(matrix[row, column]), ha="center", va="center", color=color)
    return figure


def reliability(truth: Array, probabilities: Array, *, title: str) -> Any:
    """How often the predicted class was right, by how sure the model was, in ten bins; a Figure."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    bins = np.minimum((confidence * 10).astype(int), 9)
    used = np.unique(bins)
    sizes = np.array([(bins == number).sum() for number in used])
    figure, axes = _axes(title)
    axes.plot([0, 1], [0, 1], color=_LINE, linestyle=":", label="as sure as right")
    axes.scatter(
        [confidence[bins == number].mean() for number in used],
        [right[bins == number].mean() for number in used],
        s=20 + 400 * sizes / sizes.sum(),
        color=_BLUE,
        label="held-out rows, ten bins",
    )
    axes.set(xlabel="confidence of the prediction", ylabel="share that is right", xlim=(0, 1.03), ylim=(0, 1.05))
    axes.legend(frameon=False, loc="upper left", markerscale=0.5)
    return figure


def predicted_values(truth: Array, found: Array, *, title: str) -> Any:
    """Predicted against true values of held-out rows; a Figure."""
    figure, axes = _axes(title)
    low, high = min(truth.min(), found.min()), max(truth.max(), found.max())
    axes.plot([low, high], [low, high], color=_LINE, linestyle=":", label="as true")
    axes.scatter(truth, found, s=14, color=_BLUE, alpha=0.7, label="held-out rows")
    axes.set(xlabel="true value", ylabel="predicted value")
    axes.legend(frameon=False)
    return figure

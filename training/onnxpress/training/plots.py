"""The run's pictures: the loss by epoch, and what the held-out rows say about the fitted network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.optional import require
from onnxpress.training.fitting import metrics
from onnxpress.training.fitting.loop import History

_BLUE, _RED, _LINE = "#2a78b5", "#d1495b", "#444444"  # told apart by readers who do not see red and green
_COLORS = (_BLUE, _RED, "#e0a100", "#3d8f5f", "#8757a8", "#7f5539", "#3bb2c4", _LINE)
_LABEL, _NUMBERED = 24, 12  # longest label that is shown whole; most classes whose counts fit into the matrix
_NAMED = 8  # most curves that are told apart by colour and named


def loss_curve(history: History, *, title: str, loss: str) -> Any:
    """Training and validation loss by epoch on a logarithmic scale, the kept epoch marked; a matplotlib Figure."""
    figure, axes = _axes(title)
    epochs = np.arange(1, len(history.training_loss) + 1)
    marker = "o" if len(epochs) == 1 else None  # one point makes no line
    axes.plot(epochs, history.training_loss, color=_BLUE, marker=marker, label="training (with dropout)")
    axes.plot(epochs, np.array(history.validation_loss, float), color=_RED, marker=marker, label="validation")
    axes.axvline(history.best_epoch, color=_LINE, linestyle=":", label=f"kept: epoch {history.best_epoch}")
    axes.set(xlabel="epoch", ylabel=loss, yscale="log")
    axes.xaxis.get_major_locator().set_params(integer=True)
    _plain_numbers(axes.yaxis)
    _legend_beside(axes)
    return figure


def score_histogram(scores: Array, is_anomaly: Array | None, threshold: float, *, title: str) -> Any:
    """Scores (rows,), normal and anomalous ones stacked, on a logarithmic axis with the threshold; a Figure.

    Without labels (None) all rows are of one kind.
    """
    figure, axes = _axes(title)
    positive = np.maximum(scores, np.finfo(np.float32).tiny)  # a perfect rebuild has no logarithm
    parts = {"rows without a label": positive}
    if is_anomaly is not None:
        parts = {"normal": positive[~is_anomaly], "anomaly": positive[is_anomaly]}
    axes.hist(
        list(parts.values()),
        bins=_edges(positive, threshold),
        stacked=True,
        color=[_BLUE, _RED][: len(parts)],
        label=[f"{name} ({len(rows)})" for name, rows in parts.items()],
    )
    axes.axvline(threshold, color=_LINE, linestyle="--", label=f"threshold {threshold:.3g}")
    axes.set(xlabel="reconstruction error (score)", ylabel="rows", xscale="log")
    axes.yaxis.get_major_locator().set_params(integer=True)
    _plain_numbers(axes.xaxis)
    _legend_beside(axes)
    return figure


def _edges(positive: Array, threshold: float) -> Array:
    """Some 40 bins of equal width on a logarithmic axis, the threshold on an edge: no bar stands on both sides."""
    low, middle, high = np.log([positive.min(), max(threshold, np.finfo(np.float32).tiny), positive.max()])
    width = max(high - low, 1e-3) / 40
    first, last = np.floor((low - middle) / width) - 1, np.ceil((high - middle) / width) + 1
    edges: Array = np.exp(middle + width * np.arange(first, last + 1))
    return edges


def confusion(truth: Array, predicted: Array, classes: list[str], *, title: str) -> Any:
    """Rows by true label (down) and predicted label (across), shaded by the share of the true label; a Figure."""
    count = len(classes)
    matrix = metrics.confusion(truth, predicted, classes=count)
    share = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    figure, axes = _axes(title)
    axes.grid(visible=False)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    names = [_shortened(name) for name in classes]
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
    _legend_beside(axes, markerscale=0.5)
    return figure


def predicted_values(truth: Array, predicted: Array, *, title: str, of: str = "value") -> Any:
    """Predicted against true values of held-out rows, which are called `of`; a Figure."""
    figure, axes = _axes(title)
    low, high = min(truth.min(), predicted.min()), max(truth.max(), predicted.max())
    axes.plot([low, high], [low, high], color=_LINE, linestyle=":", label="as true")
    axes.scatter(truth, predicted, s=14, color=_BLUE, alpha=0.7, label="held-out rows")
    axes.set(xlabel=f"true {_shortened(of)}", ylabel=f"predicted {_shortened(of)}")
    _legend_beside(axes)
    return figure


def curves(sides: Mapping[str, tuple[Array, Array]], *, title: str) -> Any:
    """ROC and precision-recall curves side by side; a Figure.

    `sides`: name → bool truths (rows,) and scores (rows,), the higher the surer. A name whose rows are all of one kind
    has no curve.
    """
    sklearn = require("sklearn.metrics", needed_by="measuring the held-out rows")
    figure = _figure(width=11)
    roc, precision_recall = figure.subplots(1, 2)
    named = len(sides) <= _NAMED
    for number, (name, (truth, scores)) in enumerate(sides.items()):
        if truth.all() or not truth.any():
            continue
        color, width = (_COLORS[number], 1.6) if named else (_BLUE, 0.7)
        false_alarms, recalls, _ = sklearn.roc_curve(truth, scores)
        roc.plot(false_alarms, recalls, color=color, linewidth=width)
        precision, recall, _ = sklearn.precision_recall_curve(truth, scores)
        label = f"{_shortened(name)}: {sklearn.roc_auc_score(truth, scores):.3f}, "
        label += f"{sklearn.average_precision_score(truth, scores):.3f}"
        # Between two thresholds precision does not go in a straight line.
        precision_recall.plot(recall, precision, color=color, linewidth=width, drawstyle="steps-post", label=label)
    roc.plot([0, 1], [0, 1], color=_LINE, linestyle=":")
    for axes, what in (
        (roc, title),
        (precision_recall, "" if named else f"{len(sides)} labels, each against the rest"),
    ):
        _dress(axes, what)
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    roc.set(xlabel="false-alarm rate", ylabel="recall")
    precision_recall.set(xlabel="recall", ylabel="precision")
    if named:
        _legend_beside(precision_recall, title="area: ROC,\nprecision-recall", fontsize=9)
    return figure


def _legend_beside(axes: Any, **how: Any) -> None:
    """To the right of the axes, where it hides no curve."""
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0), **how)


def _plain_numbers(axis: Any) -> None:
    """0.003 in place of 3 × 10⁻³ on a logarithmic axis that spans few powers of ten; many keep their powers."""
    ticker = require("matplotlib.ticker", needed_by="drawing a run")
    low, high = axis.get_view_interval()
    if low <= 0 or high / low > 1e4:
        return
    several = high / low > 30  # 1, 2 and 5 would run into each other
    axis.set_major_locator(ticker.LogLocator(subs=(1.0, 3.0) if several else (1.0, 2.0, 3.0, 5.0)))
    axis.set_minor_locator(ticker.NullLocator())
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:.6f}".rstrip("0").rstrip(".")))


def _axes(title: str) -> tuple[Any, Any]:
    figure = _figure()
    axes = figure.subplots()
    _dress(axes, title)
    return figure, axes


def _figure(width: float = 8) -> Any:
    # Figure itself, not pyplot: no display, no global state, nothing to close.
    matplotlib = require("matplotlib.figure", needed_by="drawing a run")
    return matplotlib.Figure(figsize=(width, 4.2), dpi=120, layout="constrained")


def _dress(axes: Any, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, which="both")
    axes.set_axisbelow(True)


def _shortened(name: str) -> str:
    return name if len(name) <= _LABEL else name[: _LABEL - 1] + "…"


def rounds(done: Sequence[Any], *, title: str) -> Any:
    """What each round of feedback cured, and ROC AUC of the old held-out rows beside it; a Figure.

    `done`: rounds with `cured_false_alarms`, `found_missed` and `after["roc_auc"]`, each of which may be absent.
    """
    figure = _figure(width=9)
    shares, worth = figure.subplots(1, 2, width_ratios=[3, 2])
    _dress(shares, title)
    _dress(worth, "old held-out rows")
    numbers = np.arange(1, len(done) + 1)
    for offset, (name, field, color) in enumerate(
        (("false alarms cured", "cured_false_alarms", _BLUE), ("missed ones found", "found_missed", _RED))
    ):
        values = [getattr(one, field) for one in done]
        bars = shares.bar(
            numbers + 0.38 * (offset - 0.5),
            [100 * (value or 0) for value in values],
            width=0.36,
            color=color,
            label=name,
        )
        shares.bar_label(bars, ["" if value is None else f"{100 * value:.0f}" for value in values], fontsize=9)
    shares.set(xlabel="round", ylabel="% of the rows of all rounds so far", ylim=(0, 112))
    shares.set_xticks(numbers)
    shares.legend(frameon=False, loc="upper left", bbox_to_anchor=(0, -0.14), ncols=2)
    auc = [one.after.get("roc_auc") for one in done]
    if all(value is not None for value in auc):
        worth.plot(np.arange(len(done) + 1), [done[0].before["roc_auc"], *auc], color=_LINE, marker="o")
        worth.set(xlabel="round (0: before)", ylabel="ROC AUC")
        worth.set_xticks(np.arange(len(done) + 1))
    else:
        worth.set_visible(False)
    return figure


_SHOWN = 25  # most columns that find room


def importance(means: Mapping[str, float], spreads: Mapping[str, float], *, title: str) -> Any:
    """How much the loss rises when a column is shuffled, the most important one first; a Figure.

    `means` and `spreads` are by column, whose names are the labels.
    """
    names = sorted(means, key=lambda name: -means[name])[:_SHOWN]
    matplotlib = require("matplotlib.figure", needed_by="drawing a run")
    figure = matplotlib.Figure(figsize=(7, 1.6 + 0.28 * len(names)), dpi=120, layout="constrained")
    axes = figure.subplots()
    _dress(axes, title if len(means) <= _SHOWN else f"{title} ({_SHOWN} of {len(means)})")
    places = np.arange(len(names))[::-1]
    axes.barh(
        places, [means[n] for n in names], xerr=[spreads[n] for n in names], color=_BLUE, ecolor=_LINE, height=0.7
    )
    axes.axvline(0, color=_LINE, linewidth=0.8)
    axes.set_yticks(places, [_shortened(name) for name in names])
    axes.set(xlabel="rise of the loss when the column is shuffled")
    return figure


def dependence(columns: Mapping[str, Mapping[str, Any]], *, title: str, of: str) -> Any:
    """A panel for each column: the mean answer (`of`: probability, or what the value is called) by its value; a Figure.

    `columns`: name → `values`, the points, and `means` at them by label; see `families.dependence`.
    """
    matplotlib = require("matplotlib.figure", needed_by="drawing a run")
    across = min(3, len(columns))
    down = -(-len(columns) // across)
    figure = matplotlib.Figure(figsize=(3.2 * across + 1.4, 2.6 * down + 0.6), dpi=120, layout="constrained")
    panels = figure.subplots(down, across, squeeze=False, sharey=True).ravel()
    figure.suptitle(title, fontsize=10)
    for axes, (name, found) in zip(panels, columns.items(), strict=False):
        _dress(axes, "")
        words = bool(found["values"]) and isinstance(found["values"][0], str)
        points = range(len(found["values"])) if words else found["values"]
        for label, means in found["means"].items():
            axes.plot(points, means, marker="o", markersize=3, linestyle="none" if words else "-", label=label)
        if words:
            axes.set_xticks(list(points), [_shortened(value) for value in found["values"]], rotation=30, ha="right")
        axes.set(xlabel=_shortened(name))
    for axes in panels[::across]:
        axes.set_ylabel(f"mean {_shortened(of)}")
    for axes in panels[len(columns) :]:
        axes.set_visible(False)
    handles, labels = panels[0].get_legend_handles_labels()
    if labels != ["value"]:
        figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=8)
    return figure

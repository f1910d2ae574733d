"""What a model is worth on rows it has not seen: the same figures for both frameworks, from scikit-learn and scipy."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import UsageError
from onnxpress.core.optional import require
from onnxpress.core.spelling import did_you_mean
from onnxpress.training.fitting import losses
from onnxpress.training.fitting.losses import Loss
from onnxpress.training.settings import Selection

LOWER_IS_BETTER = frozenset(
    {"loss", "false_alarm_rate", "calibration_error", "mean_absolute_error", "root_mean_squared_error"}
)
_BINS = 15


def classification(truth: Array, probabilities: Array, predicted: Array | None = None) -> dict[str, float]:
    """Figures of a classifier: `truth` (rows,) of class numbers, `probabilities` (rows, classes).

    `predicted` (rows,) are the classes that it says, by default the most probable ones.

    `macro_accuracy` is the mean of the classes' recalls. With two classes, `recall`, `precision` and
    `false_alarm_rate` are of class 1, and ROC and PR AUC too, Youden's index (recall less the false-alarm rate) and
    F-scores that count recall half, as much, and twice as much as precision; with more they are means of one class
    against the rest, over the classes that the rows have.
    """
    sklearn = require("sklearn.metrics", needed_by="measuring the held-out rows")
    predicted = probabilities.argmax(axis=1) if predicted is None else predicted
    present = np.unique(truth)
    figures = {
        "accuracy": float((predicted == truth).mean()),
        "macro_accuracy": float(np.mean([(predicted[truth == label] == label).mean() for label in present])),
        "macro_f1": float(sklearn.f1_score(truth, predicted, average="macro", labels=present, zero_division=0)),
        "calibration_error": calibration_error(truth, probabilities),
    }
    if len(present) > 1:
        sides = [1] if probabilities.shape[1] == 2 else present.tolist()
        figures["roc_auc"] = float(np.mean([sklearn.roc_auc_score(truth == s, probabilities[:, s]) for s in sides]))
        figures["pr_auc"] = float(
            np.mean([sklearn.average_precision_score(truth == s, probabilities[:, s]) for s in sides])
        )
    if probabilities.shape[1] == 2:
        figures |= of_flags(truth == 1, predicted == 1)
    return figures


def of_flags(truth: Array, predicted: Array) -> dict[str, float]:
    """`alarms`, with Youden's index and the F-scores."""
    found = alarms(truth, predicted)
    scores = {f"f{beta:g}": _f_beta(found["recall"], found["precision"], beta) for beta in (0.5, 1, 2)}
    return {**found, "youden": found["recall"] - found["false_alarm_rate"], **scores}


def _f_beta(recall: float, precision: float, beta: float) -> float:
    """The harmonic mean of both, recall counting `beta` times as much (van Rijsbergen 1979)."""
    below = beta**2 * precision + recall
    return (1 + beta**2) * precision * recall / below if below else 0.0


def alarms(truth: Array, predicted: Array) -> dict[str, float]:
    """Recall, precision and false-alarm rate of bool flags (rows,) against bool truths; 0 where nothing can be said."""
    right = float((truth & predicted).sum())
    return {
        "recall": right / max(1, int(truth.sum())),
        "precision": right / max(1, int(predicted.sum())),
        "false_alarm_rate": float((predicted & ~truth).sum()) / max(1, int((~truth).sum())),
    }


def confusion(truth: Array, predicted: Array, *, classes: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """(classes, classes) int64 of rows by true class (down) and predicted class (across)."""
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (truth, predicted), 1)
    return matrix


def calibration_error(truth: Array, probabilities: Array) -> float:
    """Expected calibration error (Guo et al. 2017): Σ share of bin × |accuracy - confidence| over 15 equal bins."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    error = 0.0
    for number in np.unique(bins):
        inside = bins == number
        error += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return float(error)


def regression(truth: Array, predicted: Array) -> dict[str, float]:
    """Figures of a regressor on (rows,) values in the target's unit."""
    error = predicted.astype(np.float64) - truth
    spread = ((truth - truth.mean()) ** 2).sum()
    return {
        "mean_absolute_error": float(np.abs(error).mean()),
        "root_mean_squared_error": float(np.sqrt((error**2).mean())),
        "r2": float(1 - (error**2).sum() / spread) if spread > 0 else 0.0,
    }


def quantiles(values: Array, at: tuple[float, ...] = (0.05, 0.5, 0.95)) -> dict[str, float]:
    """Harrell-Davis quantiles (Biometrika 1982), steadier than order statistics where there are few values."""
    if len(values) == 1:  # the estimator needs two
        values = np.repeat(values, 2)
    mstats = require("scipy.stats.mstats", needed_by="Harrell-Davis quantiles")
    return {f"q{100 * p:g}": float(v) for p, v in zip(at, mstats.hdquantiles(values, prob=list(at)), strict=True)}


def of_outputs(loss: Loss, outputs: Array, y: Array) -> dict[str, float]:
    """The figures by which an epoch can be selected."""
    if loss == "mean_squared_error":
        return regression(y.reshape(-1), outputs.reshape(-1))
    truth = y.reshape(-1).astype(np.int64)
    return classification(truth, losses.probabilities(loss, outputs))


def refuse_unknown(selection: Selection, loss: Loss, *, classes: int) -> None:
    """Raises UsageError, before anything is fitted, for a metric that the validation rows will not have."""
    named = [selection.metric, *selection.at_least, *selection.at_most]
    if set(named) <= {"loss"}:
        return
    several = max(2, classes)
    truth = np.arange(several).repeat(2)
    if loss == "mean_squared_error":
        known = regression(truth.astype(float), truth.astype(float))
    else:
        known = classification(truth, np.full((len(truth), several), 1 / several))
    for name in named:
        if name not in known and name != "loss":
            raise UsageError(
                f"there is no metric {name!r} here",
                where="training.select",
                hint=did_you_mean(name, ["loss", *known], "it may be"),
            )


def rank(selection: Selection, figures: dict[str, float]) -> tuple[float, float]:
    """How good an epoch is, the smaller the better: first by how far it misses the bounds, then by the metric.

    Raises UsageError for a metric that there is not.
    """
    for name in (selection.metric, *selection.at_least, *selection.at_most):
        if name not in figures:
            raise UsageError(
                f"there is no metric {name!r} here", where="training.select", hint=f"it may be: {', '.join(figures)}"
            )
    missed = sum(max(0.0, bound - figures[name]) for name, bound in selection.at_least.items())
    missed += sum(max(0.0, figures[name] - bound) for name, bound in selection.at_most.items())
    value = figures[selection.metric]
    return missed, value if selection.metric in LOWER_IS_BETTER else -value

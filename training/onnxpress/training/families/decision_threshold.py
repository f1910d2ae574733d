"""The probability above which the second of two labels is said, chosen on the validation rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import UsageError
from onnxpress.core.spelling import did_you_mean
from onnxpress.training.fitting import metrics
from onnxpress.training.settings import Selection, Training

METRIC = "threshold"
_MOST = 1000
"""thresholds that are tried; of more rows evenly spaced ones"""


class ThresholdChoice(Selection, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The threshold with the best `metric` among those that keep the bounds, or that miss them by least."""

    metric: str = "youden"
    """recall, precision, false_alarm_rate (the lowest is the best), youden, f0.5, f1, f2 or accuracy"""
    fold_quantile: Annotated[float, msgspec.Meta(gt=0, lt=1)] | None = None
    """with `training.folds`: the Harrell-Davis quantile (Biometrika 1982) of the folds' thresholds is published, 0.5
    for their median, in place of the one that the run's own validation rows choose"""


def check(chosen: ThresholdChoice | None, classes: Sequence[str], training: Training) -> None:
    """Raises UsageError, before anything is fitted, for what cannot be chosen here."""
    if chosen is None:
        return
    if len(classes) != 2:
        raise UsageError(
            f"a threshold is between two labels, and there are {len(classes)}",
            where="model.threshold",
            hint="leave it out",
        )
    if chosen.fold_quantile is not None and not training.folds:
        raise UsageError("there are no folds", where="model.threshold.fold_quantile", hint="set training.folds")
    known = _figures(np.array([False, True]), np.array([False, True]))
    for name in (chosen.metric, *chosen.at_least, *chosen.at_most):
        if name not in known:
            raise UsageError(
                f"no threshold changes {name!r}, or there is no such metric",
                where="model.threshold",
                hint=did_you_mean(name, list(known), "it may be"),
            )


def choose(chosen: ThresholdChoice, truth: Array, positive: Array) -> float:
    """Exact in float32: between two neighbours of the probabilities (rows,); `truth` (rows,) are 0 and 1.

    Of thresholds as good as each other that with the higher Youden index, then the one in the widest gap.
    """
    values = np.unique(positive.astype(np.float32)).astype(np.float64)
    edges = np.concatenate([[0.0], values, [1.0]])
    middles = ((edges[:-1] + edges[1:]) / 2).astype(np.float32).astype(np.float64)
    places = np.arange(len(middles))
    if len(places) > _MOST:
        places = np.unique(np.linspace(0, len(middles) - 1, _MOST).astype(int))
    is_positive, best, found = truth == 1, None, 0.5
    for place in places:
        figures = _figures(is_positive, positive > middles[place])
        gap = float(edges[place + 1] - edges[place])
        rank = (*metrics.rank(chosen, figures), -figures["youden"], -gap)
        if best is None or rank < best:
            best, found = rank, float(middles[place])
    return found


def over_folds(quantile: float, thresholds: Sequence[float]) -> float:
    """The Harrell-Davis quantile of the folds' thresholds, exact in float32."""
    (value,) = metrics.quantiles(np.asarray(thresholds), (quantile,)).values()
    return float(np.float32(value))


def _figures(truth: Array, predicted: Array) -> dict[str, Any]:
    return {**metrics.of_flags(truth, predicted), "accuracy": float((truth == predicted).mean())}

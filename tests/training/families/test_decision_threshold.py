"""A threshold is chosen by a metric within bounds, and over folds by a Harrell-Davis quantile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from onnxpress.core import run as runs
from onnxpress.core.errors import UsageError
from onnxpress.training.families import decision_threshold
from onnxpress.training.families.decision_threshold import ThresholdChoice
from onnxpress.training.pipeline import stage
from onnxpress.training.recipe import Recipe
from onnxpress.training.settings import Training

TRUTH = np.array([0, 0, 0, 0, 1, 1, 1, 1])
POSITIVE = np.array([0.1, 0.2, 0.35, 0.6, 0.3, 0.4, 0.7, 0.9])


def flagged(**chosen: Any) -> list[bool]:
    threshold = decision_threshold.choose(ThresholdChoice(**chosen), TRUTH, POSITIVE)
    assert threshold == float(np.float32(threshold))
    found: list[bool] = (threshold < POSITIVE).tolist()
    return found


def test_the_fewest_false_alarms_within_the_bounds() -> None:
    bounded = flagged(metric="false_alarm_rate", at_least={"recall": 0.75})
    assert bounded == (POSITIVE > 0.38).tolist()
    assert flagged(metric="false_alarm_rate") == (POSITIVE > 0.65).tolist(), "of equals the one with the higher Youden"
    assert flagged(metric="recall", at_most={"false_alarm_rate": 0.0}) == (POSITIVE > 0.65).tolist()
    assert flagged(metric="f2") == (POSITIVE > 0.25).tolist()


def test_bounds_that_nothing_keeps_are_missed_by_least() -> None:
    always = decision_threshold.choose(ThresholdChoice(at_least={"precision": 1.1}), TRUTH, POSITIVE)
    assert (always < POSITIVE).tolist() == (POSITIVE > 0.65).tolist()


def test_many_rows_are_chosen_from_as_well() -> None:
    g = np.random.default_rng(0)
    truth = g.integers(0, 2, 5000)
    positive = np.clip(0.5 * truth + 0.5 * g.random(5000), 0, 1)
    threshold = decision_threshold.choose(ThresholdChoice(metric="accuracy"), truth, positive)
    assert ((positive > threshold) == truth).mean() > 0.99


def test_folds_settle_on_the_harrell_davis_median() -> None:
    mstats = pytest.importorskip("scipy.stats.mstats")
    values = [0.2, 0.4, 0.45, 0.5, 0.9]
    assert decision_threshold.over_folds(0.5, values) == pytest.approx(float(mstats.hdmedian(np.array(values))))


@pytest.mark.parametrize(
    ("chosen", "classes", "message"),
    [
        ({"metric": "yuoden"}, ["a", "b"], "'yuoden'"),
        ({"at_least": {"roc_auc": 0.9}}, ["a", "b"], "no threshold changes 'roc_auc'"),
        ({}, ["a", "b", "c"], "between two labels, and there are 3"),
        ({"fold_quantile": 0.5}, ["a", "b"], "there are no folds"),
    ],
)
def test_what_cannot_be_chosen_is_refused_before_the_fit(
    chosen: dict[str, Any], classes: list[str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        decision_threshold.check(ThresholdChoice(**chosen), classes, Training())
    decision_threshold.check(ThresholdChoice(at_least={"recall": 0.4}), ["a", "b"], Training())


def test_a_run_publishes_the_folds_threshold(framework: str, tmp_path: Path) -> None:
    g = np.random.default_rng(0)
    labels = np.arange(48) % 2
    waves = np.sin(np.arange(40) * (0.2 + 0.1 * labels[:, None])) + g.normal(size=(48, 40))
    np.savez(tmp_path / "w.npz", windows=waves, labels=labels)
    document = {
        "name": "folded",
        "framework": framework,
        "model": {
            "family": "cnn14", "filters": [4, 4], "stride_every": 0, "dense": [4],
            "threshold": {"metric": "youden", "fold_quantile": 0.5},
        },
        "data": {"source": "npz", "path": str(tmp_path / "w.npz")},
        "training": {"epochs": 2, "folds": 3, "betas": [0.8, 0.99], "schedule": {"kind": "one_cycle", "peak": 0.01}},
    }  # fmt: skip
    folder = stage.train(msgspec.convert(document, Recipe), output=tmp_path / "runs")
    assert folder is not None
    figures = json.loads((folder / "metrics.json").read_text())
    by_fold = [fold["threshold"] for fold in json.loads((folder / "folds.json").read_text())]
    assert len(set(by_fold)) > 1, "folds that agree would show nothing"
    settled = decision_threshold.over_folds(0.5, by_fold)
    assert runs.read(folder).thresholds == {"is_positive": settled}
    assert figures["threshold"] == settled
    assert figures["folds_threshold_q50"] == pytest.approx(settled)
    held_out = np.array(json.loads((folder / "confusion.json").read_text())["counts"])
    assert held_out[1, 1] / held_out[1].sum() == pytest.approx(figures["recall"])

"""The figures mean what their names say; an epoch is chosen by them; calibration makes probabilities honest."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.core.errors import UsageError
from onnxpress.training.families import calibration
from onnxpress.training.fitting import losses, metrics
from onnxpress.training.settings import Selection

pytest.importorskip("sklearn")
G = np.random.default_rng(0)


def test_two_classes_have_alarms() -> None:
    truth = np.array([0, 0, 0, 0, 1, 1])
    positive = np.array([0.1, 0.2, 0.6, 0.3, 0.9, 0.4])
    found = metrics.classification(truth, np.stack([1 - positive, positive], axis=1))
    assert found["accuracy"] == pytest.approx(4 / 6)
    assert found["macro_accuracy"] == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert (found["recall"], found["precision"], found["false_alarm_rate"]) == (0.5, 0.5, 0.25)
    assert found["roc_auc"] == pytest.approx(7 / 8)


def test_rows_of_one_class_have_no_roc() -> None:
    found = metrics.classification(np.zeros(3, int), np.full((3, 3), 1 / 3))
    assert "roc_auc" not in found
    assert found["macro_accuracy"] == 1


@given(st.integers(0, 1000))
def test_honest_probabilities_have_a_small_calibration_error(seed: int) -> None:
    generator = np.random.default_rng(seed)
    positive = generator.random(20_000)
    truth = (generator.random(20_000) < positive).astype(int)
    honest = np.stack([1 - positive, positive], axis=1)
    assert metrics.calibration_error(truth, honest) < 0.02
    sharp = np.stack([positive < 0.5, positive >= 0.5], axis=1).astype(float)
    assert metrics.calibration_error(truth, sharp) > 0.2


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_calibration_of_two_classes_makes_overconfident_logits_honest(method: str) -> None:
    logits = G.normal(size=4000).astype(np.float32) * 2
    truth = (G.random(4000) < 1 / (1 + np.exp(-logits))).astype(np.float32)
    step = calibration.binary(method, 3 * logits, truth, input="x", output="y")  # type: ignore[arg-type]
    positive = step.apply({"x": 3 * logits}, "float64")
    assert metrics.calibration_error(truth.astype(int), np.stack([1 - positive, positive], axis=1)) < 0.03
    raw = 1 / (1 + np.exp(-3.0 * logits))
    assert metrics.calibration_error(truth.astype(int), np.stack([1 - raw, raw], axis=1)) > 0.05


def test_perfect_logits_do_not_give_an_infinite_slope() -> None:
    logits = np.array([-1, -2, 1, 2], np.float32)
    step = calibration.binary("platt", logits, (logits > 0).astype(np.float32), input="x", output="y")
    assert 0 < step.apply({"x": logits}, "float64")[0] < 0.5
    flat = calibration.binary("isotonic", logits, np.ones(4, np.float32), input="x", output="y")
    assert flat.apply({"x": logits}, "float64").tolist() == [1, 1, 1, 1]


def test_the_temperature_undoes_sharpening() -> None:
    logits = G.normal(size=(6000, 3)) * 2
    p = losses.probabilities("cross_entropy", logits)
    truth = (G.random(6000)[:, None] > p.cumsum(axis=1)).sum(axis=1)
    step = calibration.temperature(2.5 * logits, truth, input="x", output="y")
    assert step.temperature == pytest.approx(2.5, rel=0.1)


def test_harrell_davis_quantiles_of_a_sample() -> None:
    found = metrics.quantiles(G.normal(size=5000))
    assert found["q50"] == pytest.approx(0, abs=0.06)
    assert found["q95"] == pytest.approx(1.645, abs=0.1)
    assert set(metrics.quantiles(np.array([0.25])).values()) == {0.25}, "of one value it is that"


def test_an_epoch_is_chosen_among_those_that_keep_the_bounds() -> None:
    select = Selection(metric="false_alarm_rate", at_least={"recall": 0.42})
    epochs = [
        {"recall": 0.1, "false_alarm_rate": 0.0},
        {"recall": 0.5, "false_alarm_rate": 0.2},
        {"recall": 0.6, "false_alarm_rate": 0.1},
        {"recall": 0.4, "false_alarm_rate": 0.0},
    ]
    ranks = [metrics.rank(select, figures) for figures in epochs]
    assert min(range(4), key=ranks.__getitem__) == 2
    assert ranks[3] < ranks[0], "none that keeps them: the one that misses by least"
    assert metrics.rank(Selection(metric="recall"), epochs[2]) < metrics.rank(Selection(metric="recall"), epochs[1])
    with pytest.raises(UsageError, match="there is no metric 'recal'"):
        metrics.rank(Selection(metric="recal"), epochs[0])


def test_extreme_logits_overflow_nowhere() -> None:
    z = np.array([[1e4, -1e4], [-1e4, 1e4]])
    assert np.isfinite(losses.mean("cross_entropy", z, np.array([0, 0])))
    assert np.isfinite(losses.mean("binary_cross_entropy", z, np.ones((2, 2))))
    assert losses.probabilities("cross_entropy", z).tolist() == [[1, 0], [0, 1]]
    assert losses.probabilities("binary_cross_entropy", z[:, :1])[:, 1] == pytest.approx([1, 0])


def test_the_scores_of_two_classes_weigh_recall_and_precision() -> None:
    truth = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    positive = np.array([0.9, 0.9, 0.9, 0.1, 0.9, 0.1, 0.1, 0.1, 0.1, 0.1])
    figures = metrics.classification(truth, np.stack([1 - positive, positive], axis=1))
    assert figures["youden"] == pytest.approx(3 / 4 - 1 / 6)
    sklearn = pytest.importorskip("sklearn.metrics")
    for beta in (0.5, 1, 2):
        expected = sklearn.fbeta_score(truth, positive > 0.5, beta=beta)
        assert figures[f"f{beta:g}"] == pytest.approx(expected)


def test_a_metric_that_there_will_not_be_is_refused_at_once() -> None:
    metrics.refuse_unknown(Selection(metric="youden", at_least={"recall": 0.4}), "cross_entropy", classes=2)
    metrics.refuse_unknown(Selection(metric="r2"), "mean_squared_error", classes=0)
    metrics.refuse_unknown(Selection(metric="macro_f1", at_most={"loss": 1}), "cross_entropy", classes=3)
    for selection, loss, classes in (
        (Selection(metric="yuoden"), "cross_entropy", 2),
        (Selection(metric="youden"), "cross_entropy", 3),
        (Selection(at_least={"recall": 0.4}), "mean_squared_error", 0),
    ):
        with pytest.raises(UsageError, match="there is no metric"):
            metrics.refuse_unknown(selection, loss, classes=classes)  # type: ignore[arg-type]

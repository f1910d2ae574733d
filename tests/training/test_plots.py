"""The pictures show what they are given, also in the corners: one epoch, losses that are NaN, scores of zero."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from onnxpress.training import plots
from onnxpress.training.fitting.loop import History

pytest.importorskip("matplotlib")


@pytest.mark.parametrize(
    "history",
    [
        History([0.3, 0.2, 0.1], [0.4, 0.2, 0.3], best_epoch=2),
        History([0.3], [0.4], best_epoch=1),
        History([0.3, 1.0], [0.4, None], best_epoch=1),
    ],
)
def test_the_loss_curve_marks_the_kept_epoch(history: History, tmp_path: Path) -> None:
    figure = plots.loss_curve(history, title="a run", loss="mean squared error")
    (axes,) = figure.axes
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["training (with dropout)", "validation", f"kept: epoch {history.best_epoch}"]
    assert axes.lines[1].get_xdata().tolist() == list(range(1, len(history.validation_loss) + 1))
    figure.savefig(tmp_path / "loss.png")


@pytest.mark.parametrize("scores", [[0.01, 0.02, 0.3, 0.5], [0.0, 0.0, 0.0, 0.0], [0.0, 1e-9, 1.0, 1e9]])
def test_the_histogram_holds_every_row_and_the_threshold(scores: list[float], tmp_path: Path) -> None:
    is_anomaly = np.array([False, False, True, True])
    figure = plots.score_histogram(np.asarray(scores, np.float32), is_anomaly, 0.1, title="a run")
    (axes,) = figure.axes
    assert sum(patch.get_height() for patch in axes.patches) == 4
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert sorted(labels) == ["anomaly (2)", "normal (2)", "threshold 0.1"]
    figure.savefig(tmp_path / "scores.png")


def test_no_bar_stands_on_both_sides_of_the_threshold() -> None:
    scores = np.random.default_rng(0).lognormal(size=500).astype(np.float32)
    figure = plots.score_histogram(scores, scores > 2, 1.5, title="a run")
    (axes,) = figure.axes
    edges = {patch.get_x() for patch in axes.patches}
    assert min(abs(edge - 1.5) for edge in edges) < 1e-9


def test_the_curves_end_in_their_corners_and_name_the_areas(tmp_path: Path) -> None:
    truth, scores = np.array([False, False, True, True]), np.array([0.1, 0.4, 0.35, 0.8])
    nobody = np.zeros(4, bool)
    figure = plots.curves({"malign": (truth, scores), "never seen": (nobody, scores)}, title="a run")
    roc, precision_recall = figure.axes
    curve = roc.lines[0]
    assert (curve.get_xdata()[[0, -1]].tolist(), curve.get_ydata()[[0, -1]].tolist()) == ([0, 1], [0, 1])
    # Three of the four pairs are in the right order; precision is 1 up to recall 1/2, and 2/3 beyond.
    labels = [text.get_text() for text in precision_recall.get_legend().get_texts()]
    assert labels == ["malign: 0.750, 0.833"]
    figure.savefig(tmp_path / "curves.png")


def test_many_classes_are_curves_without_names(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sides = {f"class {number}": (rng.random(50) > 0.5, rng.random(50)) for number in range(20)}
    figure = plots.curves(sides, title="a run")
    assert len(figure.axes[0].lines) == 21  # and the diagonal
    assert figure.axes[1].get_legend() is None
    figure.savefig(tmp_path / "curves.png")


def test_values_are_called_as_their_column() -> None:
    truth = np.arange(4.0)
    axes = plots.predicted_values(truth, truth + 1, title="t", of="price").axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("true price", "predicted price")
    panel = {"values": [1.0, 2.0], "means": {"value": [3.0, 4.0]}}
    figure = plots.dependence({"size": panel}, title="t", of="price")
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("size", "mean price")
    assert not figure.legends, "one curve needs no name"

"""Feedback corrects a trained autoencoder through the named layers alone, and never makes it worse unnoticed."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from onnxpress.core import run as runs
from onnxpress.core.errors import BadData, NotEquivalent, UsageError
from onnxpress.training.data.sources import Bundled
from onnxpress.training.pipeline import feedback, port

pytest.importorskip("sklearn")
Trained = Callable[[str], Path]


def write(folder: Path, verdicts: Sequence[str], *, rows: Sequence[int]) -> Path:
    """Rows of the demo's table with a verdict each."""
    table = Bundled(table="breast_cancer").load()
    path = folder / "feedback.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*table.feature_names, "feedback"])
        writer.writerows([*table.x[row], verdict] for row, verdict in zip(rows, verdicts, strict=True))
    return path


def rows_of(label: str, count: int) -> list[int]:
    return np.flatnonzero(Bundled(table="breast_cancer").load().target == label)[:count].tolist()


def test_only_the_named_layers_learn_and_the_threshold_is_set_anew(
    framework: str, trained: Trained, tmp_path: Path
) -> None:
    run = trained(framework)
    verdicts = ["false_alarm"] * 8 + ["missed"] * 6
    given = write(tmp_path, verdicts, rows=[*rows_of("benign", 8), *rows_of("malignant", 6)])
    folder = feedback.learn(run, given, only=["decoder"], output=tmp_path / "runs", allowed_drop=0.05)
    before, after = port.read_layers(run), port.read_layers(folder)
    changed = {name for name in before if not np.array_equal(before[name]["kernel"], after[name]["kernel"])}
    assert changed == {"hidden_4", "hidden_5", "hidden_6", "rebuilt"}
    said = json.loads((folder / "feedback.json").read_text())
    assert (said["false_alarms"], said["missed"]) == (8, 6)
    assert said["after"]["roc_auc"] >= said["before"]["roc_auc"] - 0.05
    assert runs.read(folder).thresholds["is_anomaly"] == said["after"]["threshold"]
    assert said["before"]["threshold"] == runs.read(run).thresholds["is_anomaly"]


@pytest.mark.torch
def test_a_model_that_got_worse_is_not_written(trained: Trained, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    anomalies = rows_of("malignant", 80)  # told that they are normal
    given = write(tmp_path, ["false_alarm"] * 80, rows=anomalies)
    with pytest.raises(NotEquivalent, match="the model got worse"):
        feedback.learn(
            trained("pytorch"), given, only=["encoder", "decoder"], output=tmp_path / "runs", allowed_drop=-0.2
        )
    assert not (tmp_path / "runs").exists()


@pytest.mark.torch
def test_feedback_that_means_nothing_is_named_with_its_line(trained: Trained, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    given = write(tmp_path, ["missed", "maybe"], rows=[0, 1])
    with pytest.raises(BadData, match=r"feedback\.csv:3: the feedback 'maybe' is not known"):
        feedback.learn(trained("pytorch"), given, only=["decoder"], output=tmp_path, allowed_drop=0.1)
    given = write(tmp_path, ["missed"], rows=[0])
    with pytest.raises(UsageError, match="there is no layer 'decodr'"):
        feedback.learn(trained("pytorch"), given, only=["decodr"], output=tmp_path, allowed_drop=0.1)

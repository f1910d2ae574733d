"""`run.html`: what it shows, and what it warns of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from onnxpress.core import run as runs
from onnxpress.core.errors import BadData
from onnxpress.core.tensors import TensorSpec
from onnxpress.training.pipeline import figures, run_page

FELL = {"training_loss": [1.0, 0.6, 0.5, 0.5], "validation_loss": [1.0, 0.7, 0.6, 0.7], "best_epoch": 3}
METRICS = {"accuracy": 0.875, "epochs": 4, "folds_accuracy": 0.8125, "folds_accuracy_sd": 0.0625}
RECIPE = {"model": {"family": "cnn14", "threshold": {"metric": "youden", "at_least": {"recall": 0.9}, "at_most": {}}}}
DATA = {"files": ["a.csv"], "rows": 12345, "labels": {"cat": 40, "<b>dog</b>": 40}}
CONFUSION = {"labels": ["cat", "<b>dog</b>"], "counts": [[30, 10], [0, 40]]}


@pytest.mark.parametrize(
    ("history", "metrics", "confusion", "expected"),
    [
        (FELL, {"held_out_rows": 80}, CONFUSION, None),
        ({**FELL, "validation_loss": [1.0, 1.1, 1.2, 1.3], "best_epoch": 1}, {}, None, "only rose"),
        ({**FELL, "validation_loss": [1.0, 0.9, 0.8, 0.7], "best_epoch": 4}, {}, None, "still learning"),
        (
            {
                **FELL,
                "validation_loss": [1.0, 0.9, 0.8, 0.7],
                "best_epoch": 4,
                "learning_rate": [0.1, 0.1, 0.05, 0.001],
            },
            {},
            None,
            None,
        ),
        ({**FELL, "training_loss": [1.0, 0.5, 0.1, 0.1]}, {}, None, "6.0 times the training loss"),
        (FELL, {"held_out_rows": 12}, None, "Only 12 rows"),
        (FELL, {}, {"labels": ["a", "b"], "counts": [[60, 0], [5, 0]]}, "Only 5 held-out rows are 'b'"),
        (FELL, {}, {"labels": ["a", "b"], "counts": [[60, 0], [15, 0]]}, "No row was taken for 'b'"),
        (FELL, {"calibration_error": 0.25}, None, "off by 25%"),
        (FELL, {"calibration_error": 0.25, "calibrated_calibration_error": 0.02}, None, None),
        (None, {}, None, None),
        ({"training_loss": [1.0], "validation_loss": [None], "best_epoch": 0}, {}, None, None),
    ],
)
def test_warnings(history: Any, metrics: Any, confusion: Any, expected: str | None) -> None:
    said = figures.warnings(history, metrics, figures.classes(confusion))
    assert len(said) == (0 if expected is None else 1), said
    assert expected is None or expected in said[0]


def run_folder(folder: Path) -> Path:
    spec = TensorSpec(name="x", dtype="float32", shape=("batch", 3))
    run = runs.Run(
        name="pets-pytorch",
        framework="pytorch",
        model="nets:build",
        weights="w",
        samples="s",
        network_inputs=[spec],
        network_outputs=[spec],
        inputs=[spec],
        outputs=[TensorSpec(name="prediction", dtype="string", shape=("batch",))],
        labels={"prediction": ["cat", "<b>dog</b>"]},
        thresholds={"decision": 0.25},
    )
    runs.write(folder, run)
    for name, content in (
        ("history", FELL),
        ("metrics", METRICS),
        ("confusion", CONFUSION),
        ("recipe", RECIPE),
        ("data", DATA),
    ):
        (folder / f"{name}.json").write_text(json.dumps(content))
    (folder / "loss.png").write_bytes(b"\x89PNG picture")
    return folder


def test_the_page_holds_figures_classes_pictures_and_contract(tmp_path: Path) -> None:
    run_page.write(run_folder(tmp_path))
    page = (tmp_path / "run.html").read_text()
    for shown in (
        "pets-pytorch",
        "0.875",
        "cat",
        "0.750",
        "0.857",
        "x:float32[batch,3]",
        '<th>decision</th><td class="number">0.25',
        "threshold metric youden, at least (recall 0.9).",
        '<th>accuracy</th><td class="number">0.8125</td><td class="number">0.0625',
        "12,345",
        "cat 40",
        "onnxpress export",
    ):
        assert shown in page, shown
    assert "data:image/png;base64," in page
    assert "<b>dog" not in page
    assert "&lt;b&gt;dog" in page
    for fetched in ("http://", "https://", "<script", "<link"):
        assert fetched not in page


def test_what_is_no_run_has_no_page(tmp_path: Path) -> None:
    with pytest.raises(BadData):
        run_page.render(tmp_path)


def test_a_figure_that_is_no_number_is_shown_as_such(tmp_path: Path) -> None:
    folder = run_folder(tmp_path)
    metrics = json.loads((folder / "metrics.json").read_text())
    (folder / "metrics.json").write_text(json.dumps({**metrics, "roc_auc": None, "calibration_error": None}))
    assert '<th>roc auc</th><td class="number">nan' in run_page.render(folder)

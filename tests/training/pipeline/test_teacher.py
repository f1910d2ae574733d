"""A student learns a teacher's answers: by the formula, in both frameworks, and from a run that fits its rows."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.training.conftest import PACKAGE

from onnxpress.core.errors import UsageError
from onnxpress.training import recipe as recipes
from onnxpress.training.fitting.distillation import LOSSES, Teaching
from onnxpress.training.pipeline import stage

RECIPE = Path(__file__).parents[3] / "recipes" / "penguins.yaml"


def train(framework: str, output: Path, *settings: str) -> Path:
    run = stage.train(recipes.load(RECIPE, settings=["training.seed=3", *settings], framework=framework), output=output)
    assert run is not None
    return run


def right(run: Path) -> float:
    """The share of the held-out rows that it is right about."""
    counts = np.array(json.loads((run / "confusion.json").read_text())["counts"])
    return float(np.trace(counts) / counts.sum())


def taught_by(run: Path) -> str:
    return f"training.teacher={json.dumps({'run': str(run), 'share': 1.0})}"


def test_a_student_learns_what_its_teacher_says_and_not_the_truth(framework: str, tmp_path: Path) -> None:
    teacher = train(framework, tmp_path / "teacher", "training.epochs=1", "training.learning_rate=0.0001")
    small = ["model.hidden=[8]", "training.epochs=40", "training.learning_rate=0.01"]
    student = train(framework, tmp_path / "student", *small, taught_by(teacher))
    alone = train(framework, tmp_path / "alone", *small)
    assert right(alone) > 0.9
    assert right(teacher) < 0.7
    assert right(student) < 0.7


def test_a_run_that_cannot_teach_these_rows_is_refused_before_anything_is_learnt(
    framework: str, tmp_path: Path
) -> None:
    teacher = train(framework, tmp_path / "teacher", "training.epochs=1")
    for setting, said in (
        ("training.seed=4", "the teacher has rows prepared in another way"),
        ('model.columns={"bill_length_mm": "scale"}', "the teacher takes other tensors"),
    ):
        with pytest.raises(UsageError, match=said):
            train(framework, tmp_path / "student", taught_by(teacher), setting)
    with pytest.raises(UsageError, match="leave out folds"):
        train(framework, tmp_path / "student", taught_by(teacher), "training.folds=3")


def test_the_distances_are_those_of_the_formula(framework: str) -> None:
    fit = importlib.import_module(f"onnxpress.training.{framework}.fit")
    draw = np.random.default_rng(0)
    answer, taught = draw.normal(0, 3, (2, 5, 4)).astype(np.float32)
    for temperature in (1.0, 2.5):
        for loss in LOSSES:
            one = loss == "binary_cross_entropy"
            mine, its = (z[:, :1] if one else z for z in (answer, taught))
            found = np.asarray(fit._DISTANCES[loss](tensor(framework, mine), tensor(framework, its), temperature))
            if loss == "mean_squared_error":
                expected = ((mine - its) ** 2).mean(axis=1)
            else:
                both = [np.concatenate([0 * z, z], axis=1) if one else z for z in (mine.astype(float), its)]
                p, q = (np.exp(z / temperature) / np.exp(z / temperature).sum(axis=1, keepdims=True) for z in both)
                expected = temperature**2 * (q * np.log(q / p)).sum(axis=1)
            assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)


def tensor(framework: str, value: np.ndarray) -> Any:
    return importlib.import_module(PACKAGE[framework]).as_tensor(value) if framework == "pytorch" else value


def test_a_network_that_answers_probabilities_has_no_logits_to_be_drawn() -> None:
    teaching = Teaching(answers=np.zeros((1, 2), np.float32), share=0.5, temperature=2.0)
    with pytest.raises(UsageError, match="a teacher is followed by logits"):
        teaching.check("negative_log_likelihood")


def test_a_teacher_is_named_by_its_folder_alone_or_with_how_much_it_counts(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE.read_text() + "  teacher: runs/large\n")
    assert recipes.load(tmp_path / "recipe.yaml").training.teacher == str(tmp_path / "runs" / "large")
    with pytest.raises(UsageError, match=r"teacher\.share"):
        recipes.load(tmp_path / "recipe.yaml", settings=['training.teacher={"run": "a", "share": 2}'])

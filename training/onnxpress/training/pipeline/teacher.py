"""The teacher that a recipe names: a trained run, asked the rows that are to be learnt."""

from __future__ import annotations

from pathlib import Path

from onnxpress.core import run as runs
from onnxpress.core.errors import UsageError
from onnxpress.core.run import Run
from onnxpress.training.families.prepared import Prepared
from onnxpress.training.fitting.distillation import Teaching
from onnxpress.training.fitting.framework_fit import framework_fit, network_of
from onnxpress.training.settings import Teacher, Training


def teaching(training: Training, prepared: Prepared) -> Teaching | None:
    """The teacher's answers to the training rows, None where the recipe names none.

    Raises UsageError, BadData where the run cannot teach these rows: its network must take the same tensors, made of
    the same rows by the same steps, and answer the same classes in the same order.
    """
    teacher = Teacher(run=training.teacher) if isinstance(training.teacher, str) else training.teacher
    if teacher is None:
        return None
    folder = Path(teacher.run)
    run = runs.read(folder)
    _compare(run, folder, prepared)
    answers = framework_fit(run.framework).predict(network_of(run, folder), prepared.train.x)
    found = Teaching(answers=answers, share=teacher.share, temperature=teacher.temperature)
    found.check(prepared.loss)
    return found


def _compare(run: Run, folder: Path, prepared: Prepared) -> None:
    labels = next((step.labels for step in run.processing.after if hasattr(step, "labels")), [])
    for what, its, ours in (
        ("takes other tensors", run.network_inputs, prepared.network_inputs),
        ("answers other tensors", run.network_outputs, prepared.network_outputs),
        ("knows other classes", labels, prepared.classes),
        ("has rows prepared in another way", run.processing.before, prepared.before),
    ):
        if its != ours:
            raise UsageError(
                f"the teacher {what} than this recipe's network",
                where=str(folder),
                hint="teach with a run of the same data, columns, shares and seed; the networks may differ inside",
            )

"""What a run's figures tell of its classes, and what a reader should know before trusting them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_FEW_ROWS = 50
"""held-out rows below which a figure moves by more than a hundredth when one row is answered otherwise"""
_FEW_OF_CLASS = 10
_APART = 3.0
_UNCALIBRATED = 0.1
_COOLED = 0.1
"""of the highest learning rate: a last epoch below it was meant to be the last"""


class Class:
    """A label's row of the table: how many rows have it, how many were taken for it, and what was right."""

    def __init__(self, label: str, rows: int, predicted: int, right: int) -> None:
        self.label, self.rows, self.predicted = label, rows, predicted
        self.recall = right / rows if rows else 0.0
        self.precision = right / predicted if predicted else 0.0
        both = self.recall + self.precision
        self.f1 = 2 * self.recall * self.precision / both if both else 0.0


def classes(confusion: Mapping[str, Any] | None) -> list[Class]:
    """Of a confusion matrix as `confusion.json` holds it."""
    if not confusion:
        return []
    counts, labels = confusion["counts"], confusion["labels"]
    return [
        Class(label, sum(counts[number]), sum(row[number] for row in counts), counts[number][number])
        for number, label in enumerate(labels)
    ]


def warnings(history: Mapping[str, Any] | None, metrics: Mapping[str, float], by_class: Sequence[Class]) -> list[str]:
    """What a reader should know before trusting the figures: plain sentences."""
    said = []
    if history:
        losses = [value for value in history["validation_loss"] if value is not None]
        best, epochs = history["best_epoch"], len(history["validation_loss"])
        if epochs > 2 and best == 1 and losses:
            said.append("The validation loss only rose: the first epoch is the best. Lower the learning rate.")
        elif epochs > 2 and best == epochs and not _cooled_down(history):
            said.append("The last epoch is the best: it was still learning when it ended. Give it more epochs.")
        if losses and best and len(history["training_loss"]) >= best:
            training, validation = history["training_loss"][best - 1], history["validation_loss"][best - 1]
            if validation is not None and validation > _APART * training > 0:
                said.append(
                    f"The validation loss is {validation / training:.1f} times the training loss: "
                    "the network knows its training rows by heart."
                )
    held_out = metrics.get("held_out_rows")
    if held_out is not None and held_out < _FEW_ROWS:
        said.append(f"Only {held_out:.0f} rows were held out: one more wrong answer moves the figures a lot.")
    for one in by_class:
        if 0 < one.rows < _FEW_OF_CLASS:
            said.append(f"Only {one.rows} held-out rows are {one.label!r}.")
        elif one.rows and not one.predicted:
            said.append(f"No row was taken for {one.label!r}.")
    error = metrics.get("calibrated_calibration_error", metrics.get("calibration_error", 0.0))
    if error > _UNCALIBRATED:
        said.append(f"Probabilities are off by {error:.0%} on average: use the decision, not the number.")
    return said


def _cooled_down(history: Mapping[str, Any]) -> bool:
    """Whether the learning rate had come down when the fit ended: more epochs would be another schedule."""
    rates = history.get("learning_rate") or [1.0]
    return bool(rates[-1] < _COOLED * max(rates))

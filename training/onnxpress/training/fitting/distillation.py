"""Learning from a teacher's answers besides the truth: distillation (Hinton, Vinyals and Dean 2015)."""

from __future__ import annotations

from dataclasses import dataclass

from onnxpress.core.arrays import Array
from onnxpress.core.errors import UsageError
from onnxpress.training.fitting.losses import Loss

LOSSES = ("cross_entropy", "binary_cross_entropy", "mean_squared_error")
"""those of networks whose answers can be drawn towards a teacher's: logits, or values"""


@dataclass(frozen=True, kw_only=True)
class Teaching:
    """A teacher's answers to the rows that are learnt, and how much they count.

    The loss of a row is (1 - share) x its loss by the truth + share x its distance from the teacher's answer. Of logits
    that is T² x KL(softmax(teacher / T) || softmax(answer / T)) at temperature T, of one logit the same of its two
    classes, of values the mean squared difference. T² keeps the gradients' size whatever the temperature.
    """

    answers: Array
    """of the network's output's shape, a row for each that is learnt"""
    share: float
    temperature: float

    def check(self, loss: Loss) -> None:
        """Raises UsageError for a loss whose answers cannot be drawn towards a teacher's."""
        if loss not in LOSSES:
            raise UsageError(
                "this network answers probabilities, and a teacher is followed by logits",
                where="training.teacher",
                hint="leave the softmax or sigmoid out of the network, or the teacher out of the recipe",
            )

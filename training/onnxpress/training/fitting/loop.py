"""The fit loop, the same for both frameworks: epochs, schedule, selection, early stopping, checkpoints.

A framework supplies a Learner, which knows how to take one step for each batch and how to answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import msgspec
import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData
from onnxpress.training.fitting import batches, losses, metrics, schedule
from onnxpress.training.fitting.checkpoint import Arrays, Checkpoint, Checkpoints
from onnxpress.training.fitting.distillation import Teaching
from onnxpress.training.fitting.losses import Loss
from onnxpress.training.settings import Training

Inputs = dict[str, Array]
"""name of the network's input → (rows, …), in the order of the network's arguments"""


class Examples(NamedTuple):
    """What the network is shown and what it should answer; rows first."""

    x: Inputs
    y: Array
    weight: Array | None = None
    """(rows,) float32: how much each row counts in the loss"""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """One fit."""

    train: Examples
    validation: Examples
    training: Training
    loss: Loss = "mean_squared_error"
    margin: float = 0.0
    """rows of negative weight must have a loss of at least this: they count as |weight| × max(0, margin - loss), the
    hinge of Rosasco et al. 2004; 0 where there are no such rows"""
    only: tuple[str, ...] | None = None
    """the layers that learn; None: all that the network lets learn"""
    teaching: Teaching | None = None
    """a teacher's answers to the rows of `train`"""
    frozen_encoder: bool = False
    """the network's part `encoder` stays as it is, so its answers are computed once and only `head` is fitted"""
    on_epoch: Callable[[float, Mapping[str, float]], None]
    """called after each epoch with the training loss, and the figures of the validation rows; `loss` is one of them"""


class History(msgspec.Struct):
    """The losses by epoch; the training loss is the mean over the epoch's batches, dropout at work."""

    training_loss: list[float] = []
    validation_loss: list[float | None] = []
    """None where it was no finite number"""
    learning_rate: list[float] = []
    """of each epoch's last batch"""
    validation: list[dict[str, float]] = []
    """the metrics of each epoch's validation rows, where the recipe selects by one"""
    best_epoch: int = 0
    """counted from 1: the first of the best; 0 when no epoch had a finite loss"""

    @property
    def diverged(self) -> bool:
        """Whether no epoch had a finite validation loss."""
        return self.best_epoch == 0


class Learner(Protocol):
    """A network being fitted in one framework."""

    def learn(self, rows: Sequence[Array], rates: Sequence[float], *, epoch: int) -> float:
        """One step for each batch of row numbers at its learning rate; the mean loss over the rows.

        Dropout is seeded from the training's seed and `epoch`, so that a resumed fit goes on as if never stopped.
        Of several processes each takes its share of every batch; all end with the same weights and statistics.
        """

    def validate(self) -> Array:
        """The outputs for the validation rows, in inference mode."""

    def state(self) -> Arrays:
        """Weights and optimiser, copied."""

    def restore(self, state: Arrays) -> None:
        """Back to an earlier state."""

    def weights(self) -> Arrays:
        """The network's weights and statistics, copied."""

    def restore_weights(self, weights: Arrays) -> None:
        """Back to earlier weights."""


class _Progress(msgspec.Struct):
    """Where the loop stands, as a checkpoint keeps it."""

    epoch: int = 0
    """the next one, from 0"""
    history: History = msgspec.field(default_factory=History)
    best: tuple[float, float] | None = None
    waited: int = 0
    """epochs since the best"""
    lowest: float | None = None
    """validation loss, for plateaus"""
    flat: int = 0
    """epochs since the lowest"""
    scale: float = 1.0
    """what plateaus have made of the learning rate"""


def run(learner: Learner, job: Fit, checkpoints: Checkpoints | None = None) -> History:
    """Fit until the epochs or the patience are used up; the learner ends with the best epoch's weights.

    With `checkpoints`, goes on from the last one when there is one; after a fit's end that is the end.
    """
    training = job.training
    at, best = _Progress(), Arrays()
    saved = checkpoints.read() if checkpoints is not None else None
    if saved is not None:
        at, best = _decoded(saved), saved.best
        learner.restore(saved.learner)
    begun = at.epoch
    balance = job.train.y.reshape(len(job.train.y), -1)[:, 0] if training.balanced_batches else None
    while at.epoch < training.epochs and at.waited < training.patience:
        rows = batches.of_epoch(
            len(job.train.y), training.batch_size, seed=training.seed, epoch=at.epoch, balance=balance
        )
        rates = schedule.rates(training, epoch=at.epoch, batches=len(rows), scale=at.scale)
        loss = learner.learn(rows, rates, epoch=at.epoch)
        figures = _validate(learner, job)
        at.epoch += 1
        at.history.training_loss.append(loss)
        at.history.learning_rate.append(rates[-1])
        validation_loss = figures["loss"]
        at.history.validation_loss.append(validation_loss if np.isfinite(validation_loss) else None)
        if len(figures) > 1:
            at.history.validation.append(figures)
        rank = metrics.rank(training.select, figures)
        if np.isfinite(rank).all() and (at.best is None or rank < at.best):
            at.best, at.waited, at.history.best_epoch = rank, 0, at.epoch
            best = learner.weights()
        else:
            at.waited += 1
        _watch_plateau(at, validation_loss, training)
        job.on_epoch(loss, figures)
        if checkpoints is not None and checkpoints.due():
            checkpoints.write(Checkpoint(msgspec.json.encode(at), learner.state(), best))
    if checkpoints is not None and checkpoints.keeps_finished() and at.epoch > begun:
        checkpoints.write(Checkpoint(msgspec.json.encode(at), learner.state(), best))
    if best:
        learner.restore_weights(best)
    return at.history


def _decoded(saved: Checkpoint) -> _Progress:
    try:
        return msgspec.json.decode(saved.progress, type=_Progress)
    except msgspec.MsgspecError as error:
        raise BadData(f"the checkpoint is of another version: {error}", hint="train again from the start") from None


def _validate(learner: Learner, job: Fit) -> dict[str, float]:
    """The loss of the validation rows, and every other metric where the recipe selects by one."""
    outputs, select = learner.validate(), job.training.select
    _, y, weight = job.validation
    figures = {"loss": losses.mean(job.loss, outputs, y, weight, margin=job.margin)}
    if (select.metric != "loss" or select.at_least or select.at_most) and np.isfinite(outputs).all():
        figures |= metrics.of_outputs(job.loss, outputs, y)
    return figures


def _watch_plateau(at: _Progress, validation_loss: float, training: Training) -> None:
    plateau = training.plateau
    if plateau is None:
        return
    if at.lowest is None or validation_loss < at.lowest:
        at.lowest, at.flat = (validation_loss, 0) if np.isfinite(validation_loss) else (at.lowest, at.flat + 1)
        return
    at.flat += 1
    if at.flat >= plateau.patience:
        floor = plateau.minimum / training.learning_rate
        at.scale, at.flat = max(at.scale * plateau.factor, min(floor, at.scale)), 0

"""What both fit loops are given and give back: the seam between the stage and a framework."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Protocol

import msgspec
import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
_Count = Annotated[int, msgspec.Meta(ge=1)]
_Share = Annotated[float, msgspec.Meta(gt=0, lt=1)]


class Training(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to fit, the same words for both frameworks. The optimiser is Adam (betas 0.9 and 0.999, epsilon 1e-7)."""

    epochs: _Count = 200
    """at most; early stopping may end sooner"""
    batch_size: _Count = 32
    learning_rate: Annotated[float, msgspec.Meta(gt=0, le=10)] = 1e-3
    patience: _Count = 20
    """epochs without a lower validation loss before stopping; the best epoch's weights are kept"""
    validation_share: _Share = 0.15
    """share of the rows that are not held out"""
    held_out_share: _Share = 0.25
    """share of all rows, never seen in training; metrics are of these"""
    seed: Annotated[int, msgspec.Meta(ge=0, lt=2**32)] = 0
    """of the split, the initial weights, the order of the batches and dropout"""


class Examples(NamedTuple):
    """What the network is shown and what it should answer; both float32, rows first."""

    x: Array
    y: Array


@dataclass(frozen=True, kw_only=True)
class Fit:
    """One fit, to the mean squared error."""

    train: Examples
    validation: Examples
    training: Training
    on_epoch: Callable[[float, float], None]
    """called after each epoch with the training and the validation loss"""


@dataclass
class History:
    """Mean squared error by epoch; the training loss is the mean over the epoch's batches, dropout at work."""

    training_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)

    @property
    def diverged(self) -> bool:
        """Whether no epoch had a finite validation loss."""
        return not np.isfinite(self.validation_loss).any()

    @property
    def best_epoch(self) -> int:
        """The epoch, counted from 1, with the lowest validation loss: the first of equals, never one that is NaN."""
        return int(np.nanargmin(self.validation_loss)) + 1


class FrameworkFit(Protocol):
    """A framework's half: a module with these functions. There are two, `pytorch.fit` and `tensorflow.fit`."""

    WEIGHTS: str
    """file name of the weights in a run folder"""

    def seed(self, seed: int) -> None:
        """Seed every generator of the framework; before the network is built."""

    def fit(self, network: Any, job: Fit) -> History:
        """Fit `network` in place and leave it with the weights of the best epoch."""

    def predict(self, network: Any, x: Array) -> Array:
        """The network's answer in inference mode; float32 in and out, rows first."""

    def save(self, network: Any, path: Path) -> None:
        """Write the weights to `path`, in the form that `export` loads."""

    def parameters(self, network: Any) -> int:
        """The number of trained parameters."""

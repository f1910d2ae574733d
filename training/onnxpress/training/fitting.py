"""What both fit loops are given and give back: the seam between the stage and a framework."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from onnxpress.training.recipe import Training

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, kw_only=True)
class Fit:
    """One fit: inputs and targets (rows first, float32), how, and where the best weights are kept."""

    x_train: Array
    y_train: Array
    x_validation: Array
    y_validation: Array
    training: Training
    weights: Path
    """written whenever the validation loss is the best so far"""
    on_epoch: Callable[[float, float], None]
    """called after each epoch with the training and the validation loss"""


@dataclass
class History:
    """Mean squared error by epoch; the kept weights are those of `best_epoch` (counted from 1)."""

    training_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)

    @property
    def best_epoch(self) -> int:
        """The epoch with the lowest validation loss, the first of equals."""
        return int(np.argmin(self.validation_loss)) + 1


class FrameworkFit(Protocol):
    """A framework's half: a module with these functions. There are two, `pytorch.fit` and `tensorflow.fit`."""

    WEIGHTS: str
    """file name of the weights in a run folder"""

    def seed(self, seed: int) -> None:
        """Seed every generator of the framework; before the network is built."""

    def fit(self, network: Any, job: Fit) -> History:
        """Fit `network` in place and leave it with the best weights."""

    def predict(self, network: Any, x: Array) -> Array:
        """The network's answer in inference mode, float32."""

    def parameters(self, network: Any) -> int:
        """The number of trained parameters."""

"""What a family makes of a table before the fit, and of the fitted network after it; plain data for the stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from onnxpress.core.arrays import Array
from onnxpress.core.processing import Step, Unscale
from onnxpress.core.tensors import TensorSpec
from onnxpress.training.fitting.loop import Examples, Inputs
from onnxpress.training.fitting.losses import Loss

Predict = Callable[[Inputs], Array]
"""the fitted network in inference mode: its inputs → its output, float32, rows first"""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Rows and contract, before any framework is involved."""

    network: str
    """the module below `<framework>.models` whose `build(**settings)` returns the network, or a user's dotted path"""
    settings: dict[str, Any]
    parameters: int | None
    """how many trained ones the network must have, by the family's formula; None for a user's own network"""
    loss: Loss = "mean_squared_error"
    train: Examples
    validation: Examples
    held_out: dict[str, Array]
    """raw rows by the name of the public input, never seen in training"""
    target: Array
    """(held-out rows,) int64 of classes, or float32 of values: the truth about them"""
    labelled: bool = True
    """False where nothing is known of the rows, and `target` is zeros"""
    anomalies: Inputs | None = None
    """the network's inputs of seen rows that are known to be anomalies and are not learnt"""
    names: list[str] = field(default_factory=list)
    """of the columns of the network's input, where rows have columns"""
    target_name: str = "value"
    """what the values are called, for people"""
    groups: Array | None = None
    """(held-out rows,) the event that each belongs to, where rows belong to events"""
    classes: list[str] = field(default_factory=list)
    """the labels in the order of their numbers"""
    before: list[Step]
    """raw inputs → the network's inputs"""
    inputs: list[TensorSpec]
    """what callers send"""
    network_inputs: list[TensorSpec]
    network_outputs: list[TensorSpec]
    answer: str | None = None
    """which of several outputs of the network is learnt; None where there is one"""
    unit: Unscale | None = None
    """how the network's output becomes values in their unit: of a regression, of what an autoencoder rebuilds"""
    threshold: float | None = None
    """of two classes: the probability from which the second is said, where the folds have settled it"""
    seed: int = 0
    """the training's, for what is fitted behind the network"""
    answers: frozenset[str] = frozenset()
    """the tensors behind the network, none of which may be called like a raw input"""
    frozen_encoder: bool = False
    """see `fitting.loop.Fit`"""

    @property
    def learnt(self) -> TensorSpec:
        """The network's output that is learnt: the one there is, or `answer`."""
        outputs = self.network_outputs
        return outputs[0] if self.answer is None else next(spec for spec in outputs if spec.name == self.answer)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the fitted network is worth, and what stands behind it in the graph."""

    after: list[Step]
    """the network's output → what callers receive"""
    outputs: list[TensorSpec]
    thresholds: dict[str, float] = field(default_factory=dict)
    labels: dict[str, list[str]] = field(default_factory=dict)
    """output name → the label of each class, in order"""
    metrics: dict[str, float]
    plots: dict[str, Any]
    """file name → matplotlib Figure"""
    tables: dict[str, Any] = field(default_factory=dict)
    """file name → what it holds, as JSON"""

"""What a family makes of a table before the fit, and of the fitted network after it; plain data for the stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from onnxpress.core.processing import Step
from onnxpress.core.tensors import TensorSpec
from onnxpress.training.fitting import Array, Examples

Predict = Callable[[Array], Array]
"""the fitted network in inference mode: its input → its output, float32, rows first"""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Rows and contract, before any framework is involved."""

    network: str
    """the module below `<framework>.models` whose `build(**settings)` returns the network"""
    settings: dict[str, Any]
    parameters: int
    """how many the network must have, by the family's formula"""
    train: Examples
    validation: Examples
    held_out: dict[str, Array]
    """raw rows by the name of the public input, never seen in training"""
    target: Array
    """(held-out rows,) int64: the truth about them"""
    before: list[Step]
    """raw inputs → the network's input"""
    inputs: list[TensorSpec]
    """what callers send"""
    network_inputs: list[TensorSpec]
    network_outputs: list[TensorSpec]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the fitted network is worth, and what stands behind it in the graph."""

    after: list[Step]
    """the network's output → what callers receive"""
    outputs: list[TensorSpec]
    thresholds: dict[str, float]
    metrics: dict[str, float]
    plots: dict[str, Any]
    """file name → matplotlib Figure"""

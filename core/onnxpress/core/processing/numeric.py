"""Steps over columns of numbers."""

from __future__ import annotations

import math

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.processing.step import Step, Tensors, check_finite


def _check_columns(name: str, values: list[float], offset: list[float]) -> None:
    if len(values) != len(offset):
        raise ValueError(f"{name} has {len(values)} columns, offset {len(offset)}")
    for column, pair in enumerate(zip(values, offset, strict=True)):
        if not all(map(math.isfinite, pair)):  # JSON has no word for the others; a constant column gives them
            raise ValueError(f"column {column} has {name} {pair[0]} and offset {pair[1]}; both must be finite")


class Scale(Step, frozen=True, kw_only=True, tag="scale"):
    """`output = (input - offset) * factor` along the last axis: raw units to the network's range."""

    input: str
    offset: list[float]
    factor: list[float]

    def __post_init__(self) -> None:
        _check_columns("factor", self.factor, self.offset)

    def apply(self, tensors: Tensors, dtype: str) -> Array:
        """(..., features) → (..., features) in `dtype`."""
        x = tensors[self.input].astype(dtype)
        result: Array = (x - np.asarray(self.offset, dtype)) * np.asarray(self.factor, dtype)
        return result


class Unscale(Step, frozen=True, kw_only=True, tag="unscale"):
    """`output = input * unit + offset` along the last axis: the network's range back to raw units."""

    input: str
    offset: list[float]
    unit: list[float]

    def __post_init__(self) -> None:
        _check_columns("unit", self.unit, self.offset)

    def apply(self, tensors: Tensors, dtype: str) -> Array:
        """(..., features) → (..., features) in `dtype`."""
        x = tensors[self.input].astype(dtype)
        result: Array = x * np.asarray(self.unit, dtype) + np.asarray(self.offset, dtype)
        return result


class Impute(Step, frozen=True, kw_only=True, tag="impute"):
    """NaN becomes the column's value, along the last axis; everything else stays."""

    input: str
    values: list[float]

    def __post_init__(self) -> None:
        check_finite("value", self.values)

    def apply(self, tensors: Tensors, dtype: str) -> Array:
        """(..., features) → (..., features) in `dtype`."""
        x = tensors[self.input].astype(dtype)
        return np.where(np.isnan(x), np.asarray(self.values, dtype), x)


class MeanSquaredError(Step, frozen=True, kw_only=True, tag="mean_squared_error"):
    """`output = mean((input - target) ** 2)` over the last axis: the reconstruction error of each row."""

    input: str
    target: str

    def apply(self, tensors: Tensors, dtype: str) -> Array:
        """(batch, features) twice → (batch,) in `dtype`."""
        difference = tensors[self.input].astype(dtype) - tensors[self.target].astype(dtype)
        result: Array = (difference * difference).mean(axis=-1)
        return result

"""What turns raw inputs into the network's tensors, and its outputs into answers: a description and its numpy form.

A description is a list of steps over named tensors. `training` fits it and uses the numpy form below, `export` writes
the same steps into the ONNX graph (`onnxpress.export.compose`), and the two are compared on real raw rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]
    Tensors = dict[str, Array]


def _check_columns(name: str, values: list[float], offset: list[float]) -> None:
    if len(values) != len(offset):
        raise ValueError(f"{name} has {len(values)} columns, offset {len(offset)}")
    for column, pair in enumerate(zip(values, offset, strict=True)):
        if not all(map(math.isfinite, pair)):  # JSON has no word for the others; a constant column gives them
            raise ValueError(f"column {column} has {name} {pair[0]} and offset {pair[1]}; both must be finite")


class Scale(msgspec.Struct, frozen=True, kw_only=True, tag="scale", tag_field="step"):
    """`output = (input - offset) * factor` along the last axis: raw units to the network's range."""

    input: str
    output: str
    offset: list[float]
    factor: list[float]

    def __post_init__(self) -> None:
        _check_columns("factor", self.factor, self.offset)

    def apply(self, tensors: Tensors, dtype: str) -> Array:
        """(..., features) → (..., features) in `dtype`."""
        import numpy as np

        x = tensors[self.input].astype(dtype)
        result: Array = (x - np.asarray(self.offset, dtype)) * np.asarray(self.factor, dtype)
        return result


class Unscale(msgspec.Struct, frozen=True, kw_only=True, tag="unscale", tag_field="step"):
    """`output = input * unit + offset` along the last axis: the network's range back to raw units."""

    input: str
    output: str
    offset: list[float]
    unit: list[float]

    def __post_init__(self) -> None:
        _check_columns("unit", self.unit, self.offset)

    def apply(self, tensors: Tensors, dtype: str) -> Array:
        """(..., features) → (..., features) in `dtype`."""
        import numpy as np

        x = tensors[self.input].astype(dtype)
        result: Array = x * np.asarray(self.unit, dtype) + np.asarray(self.offset, dtype)
        return result


class MeanSquaredError(msgspec.Struct, frozen=True, kw_only=True, tag="mean_squared_error", tag_field="step"):
    """`output = mean((input - target) ** 2)` over the last axis: the reconstruction error of each row."""

    input: str
    target: str
    output: str

    def apply(self, tensors: Tensors, dtype: str) -> Array:
        """(batch, features) twice → (batch,) in `dtype`."""
        difference = tensors[self.input].astype(dtype) - tensors[self.target].astype(dtype)
        result: Array = (difference * difference).mean(axis=-1)
        return result


class Threshold(msgspec.Struct, frozen=True, kw_only=True, tag="threshold", tag_field="step"):
    """`output = input > value`, as bool. `value` must be exact in float32, so that all forms compare with the same."""

    input: str
    output: str
    value: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise ValueError(f"the threshold {self.value} on {self.input!r} is not a finite number")

    def apply(self, tensors: Tensors, dtype: str) -> Array:
        """Any shape → bool of the same shape."""
        import numpy as np

        result: Array = tensors[self.input].astype(dtype) > np.asarray(self.value, dtype)
        return result


Step = Scale | Unscale | MeanSquaredError | Threshold


class Processing(msgspec.Struct, frozen=True, kw_only=True):
    """The steps before the network (from the raw inputs) and after it (from any tensor seen so far)."""

    before: list[Step] = []
    after: list[Step] = []


def apply(steps: Iterable[Step], tensors: Tensors, *, dtype: str = "float32") -> Tensors:
    """Run `steps` in order; returns `tensors` and every step's output, computed in `dtype` (float32 or float64)."""
    known = dict(tensors)
    for step in steps:
        known[step.output] = step.apply(known, dtype)
    return known

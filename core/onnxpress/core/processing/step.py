"""What every step has in common: named arrays in, named arrays out, constants that float32 holds exactly."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from onnxpress.core.arrays import Array

Tensors = dict[str, Array]
"""name → array"""


class Step(msgspec.Struct, frozen=True, kw_only=True, tag_field="step"):
    """One step with one output. The form in numpy and the form in ONNX must say the same."""

    output: str

    @property
    def reads(self) -> list[str]:
        """The tensors that the step takes; every step names them in a field called so."""
        single = [getattr(self, field, None) for field in ("input", "target")]
        return [*getattr(self, "inputs", ()), *(name for name in single if name is not None)]

    @property
    def makes(self) -> list[str]:
        """The tensors that the step adds."""
        return [self.output]

    def apply(self, tensors: Tensors, dtype: str) -> Array:
        """The output, computed in `dtype` (float32 or float64)."""
        raise NotImplementedError

    def outputs(self, tensors: Tensors, dtype: str) -> Tensors:
        """Every tensor that the step adds."""
        return {self.output: self.apply(tensors, dtype)}


def check_finite(name: str, values: Sequence[float]) -> None:
    """JSON has no word for the others. Raises ValueError with the place."""
    for place, value in enumerate(values):
        if not math.isfinite(value):
            raise ValueError(f"{name} {place} is {value}; it must be finite")


def check_distinct(name: str, values: Sequence[str]) -> None:
    """Raises ValueError where there is none, or one comes twice."""
    if not values:
        raise ValueError(f"{name} is empty")
    if len(set(values)) != len(values):
        twice = next(value for value in values if list(values).count(value) > 1)
        raise ValueError(f"{name} has {twice!r} twice")

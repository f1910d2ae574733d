"""Steps that make tensors of columns: side by side, categories as numbers."""

from __future__ import annotations

from typing import Annotated

import msgspec
import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.processing.step import Step, Tensors, check_distinct


class Stack(Step, frozen=True, kw_only=True, tag="stack"):
    """Columns side by side, in the order of `inputs`; whole numbers stay whole."""

    inputs: Annotated[list[str], msgspec.Meta(min_length=1)]

    def apply(self, tensors: Tensors, dtype: str) -> Array:
        """(batch,) each → (batch, columns), in `dtype` or int64."""
        columns = [tensors[name] for name in self.inputs]
        stacked = np.stack(columns, axis=-1)
        return stacked.astype(dtype) if stacked.dtype.kind == "f" else stacked


class Concatenate(Step, frozen=True, kw_only=True, tag="concatenate"):
    """Tensors joined along the last axis."""

    inputs: Annotated[list[str], msgspec.Meta(min_length=1)]

    def apply(self, tensors: Tensors, dtype: str) -> Array:
        """(batch, n) each → (batch, sum of n) in `dtype`."""
        return np.concatenate([tensors[name].astype(dtype) for name in self.inputs], axis=-1)


class Squeeze(Step, frozen=True, kw_only=True, tag="squeeze"):
    """A last axis of size 1 is dropped."""

    input: str

    def apply(self, tensors: Tensors, dtype: str) -> Array:
        """(batch, 1) → (batch,)."""
        x = tensors[self.input]
        return (x.astype(dtype) if x.dtype.kind == "f" else x).squeeze(-1)


class Lookup(Step, frozen=True, kw_only=True, tag="lookup"):
    """A category's number: 1 + its place in `values`, 0 for every other string."""

    input: str
    values: list[str]

    def __post_init__(self) -> None:
        check_distinct("values", self.values)

    def apply(self, tensors: Tensors, dtype: str) -> Array:
        """Strings of any shape → int64 of the same shape."""
        number_of = {value: number for number, value in enumerate(self.values, 1)}
        x = tensors[self.input]
        return np.array([number_of.get(str(value), 0) for value in x.ravel()], np.int64).reshape(x.shape)


class OneHot(Step, frozen=True, kw_only=True, tag="one_hot"):
    """1 in the place of the number, 0 elsewhere; all 0 for a number outside 0 … size - 1."""

    input: str
    size: Annotated[int, msgspec.Meta(ge=1)]

    def apply(self, tensors: Tensors, dtype: str) -> Array:
        """(batch,) int64 → (batch, size) in `dtype`."""
        result: Array = (tensors[self.input][..., None] == np.arange(self.size)).astype(dtype)
        return result

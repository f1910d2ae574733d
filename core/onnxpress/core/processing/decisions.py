"""Steps behind the network: scores to probabilities, decisions and labels."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated

import msgspec
import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.processing.step import Step, Tensors, check_distinct, check_finite


class Softmax(Step, frozen=True, kw_only=True, tag="softmax"):
    """exp(x) / Σ exp(x) over the last axis."""

    input: str

    def apply(self, tensors: Tensors, dtype: str) -> Array:
        """(batch, classes) → (batch, classes) in `dtype`."""
        x = tensors[self.input].astype(dtype)
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        result: Array = e / e.sum(axis=-1, keepdims=True)
        return result


def _sigmoid(x: Array) -> Array:
    """1 / (1 + e^-x), written so that neither sign overflows."""
    e = np.exp(-np.abs(x))
    result: Array = np.where(x >= 0, 1 / (1 + e), e / (1 + e)).astype(x.dtype)
    return result


class Sigmoid(Step, frozen=True, kw_only=True, tag="sigmoid"):
    """1 / (1 + exp(-x))."""

    input: str

    def apply(self, tensors: Tensors, dtype: str) -> Array:
        """Any shape → the same in `dtype`."""
        return _sigmoid(tensors[self.input].astype(dtype))


class Platt(Step, frozen=True, kw_only=True, tag="platt"):
    """sigmoid(slope × x + intercept): Platt's calibration of a score."""

    input: str
    slope: float
    intercept: float

    def __post_init__(self) -> None:
        check_finite("parameter", [self.slope, self.intercept])

    def apply(self, tensors: Tensors, dtype: str) -> Array:
        """Any shape → the same in `dtype`."""
        x = tensors[self.input].astype(dtype)
        return _sigmoid(x * np.asarray(self.slope, dtype) + np.asarray(self.intercept, dtype))


class Temperature(Step, frozen=True, kw_only=True, tag="temperature"):
    """x / temperature, before a softmax."""

    input: str
    temperature: Annotated[float, msgspec.Meta(gt=0)]

    def apply(self, tensors: Tensors, dtype: str) -> Array:
        """Any shape → the same in `dtype`."""
        result: Array = tensors[self.input].astype(dtype) / np.asarray(self.temperature, dtype)
        return result


class Isotonic(Step, frozen=True, kw_only=True, tag="isotonic"):
    """Straight lines between the knots (x, y), constant outside of them: y₀ + Σ slopeᵢ × clip(v - xᵢ, 0, xᵢ₊₁ - xᵢ)."""

    input: str
    x: list[float]
    y: list[float]

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y) or len(self.x) < 2:
            raise ValueError(f"{len(self.x)} knots in x and {len(self.y)} in y; at least two of each")
        check_finite("knot", [*self.x, *self.y])
        if any(low >= high for low, high in pairwise(self.x)):
            raise ValueError("the knots in x must ascend")

    def pieces(self, dtype: str) -> tuple[Array, Array, Array]:
        """Start, width and slope of every piece, each (knots - 1,)."""
        x, y = np.asarray(self.x, np.float32), np.asarray(self.y, np.float32)
        width = np.diff(x)
        slope = (np.diff(y.astype(np.float64)) / width).astype(np.float32)
        return x[:-1].astype(dtype), width.astype(dtype), slope.astype(dtype)

    def apply(self, tensors: Tensors, dtype: str) -> Array:
        """(batch,) → (batch,) in `dtype`."""
        start, width, slope = self.pieces(dtype)
        v = tensors[self.input].astype(dtype)[..., None]
        result: Array = np.minimum(np.maximum(v - start, 0), width) @ slope + np.asarray(self.y[0], dtype)
        return result


class Threshold(Step, frozen=True, kw_only=True, tag="threshold"):
    """`output = input > value`, as bool. `value` must be exact in float32, so that all forms compare with the same."""

    input: str
    value: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise ValueError(f"the threshold {self.value} on {self.input!r} is not a finite number")

    def apply(self, tensors: Tensors, dtype: str) -> Array:
        """Any shape → bool of the same shape."""
        result: Array = tensors[self.input].astype(dtype) > np.asarray(self.value, dtype)
        return result


class AnyOf(Step, frozen=True, kw_only=True, tag="any"):
    """True where at least one of the flags is."""

    inputs: Annotated[list[str], msgspec.Meta(min_length=1)]

    def apply(self, tensors: Tensors, dtype: str) -> Array:
        """Bool tensors of one shape → bool of that shape."""
        result: Array = np.logical_or.reduce([tensors[name] for name in self.inputs])
        return result


class AllOf(Step, frozen=True, kw_only=True, tag="all"):
    """True where every one of the flags is."""

    inputs: Annotated[list[str], msgspec.Meta(min_length=1)]

    def apply(self, tensors: Tensors, dtype: str) -> Array:
        """Bool tensors of one shape → bool of that shape."""
        result: Array = np.logical_and.reduce([tensors[name] for name in self.inputs])
        return result


class WeightedSum(Step, frozen=True, kw_only=True, tag="weighted_sum"):
    """Σ weight × input, in the order of `inputs`."""

    inputs: Annotated[list[str], msgspec.Meta(min_length=1)]
    weights: list[float]

    def __post_init__(self) -> None:
        if len(self.weights) != len(self.inputs):
            raise ValueError(f"{len(self.weights)} weights for {len(self.inputs)} inputs")
        check_finite("weight", self.weights)

    def apply(self, tensors: Tensors, dtype: str) -> Array:
        """Tensors of one shape → the same in `dtype`."""
        first, *others = (
            tensors[name].astype(dtype) * np.asarray(weight, dtype)
            for name, weight in zip(self.inputs, self.weights, strict=True)
        )
        total: Array = first
        for part in others:
            total = total + part
        return total


class Label(Step, frozen=True, kw_only=True, tag="label"):
    """The label of the highest score, of the first one among equals."""

    input: str
    labels: list[str]

    def __post_init__(self) -> None:
        check_distinct("labels", self.labels)

    def apply(self, tensors: Tensors, dtype: str) -> Array:
        """(batch, labels) → (batch,) strings."""
        result: Array = np.array(self.labels, object)[tensors[self.input].astype(dtype).argmax(axis=-1)]
        return result


class BinaryLabel(Step, frozen=True, kw_only=True, tag="label_at"):
    """The first label for False, the second for True."""

    input: str
    labels: Annotated[list[str], msgspec.Meta(min_length=2, max_length=2)]

    def apply(self, tensors: Tensors, dtype: str) -> Array:
        """Bool of any shape → strings of the same."""
        result: Array = np.array(self.labels, object)[tensors[self.input].astype(int)]
        return result


class Maximum(Step, frozen=True, kw_only=True, tag="maximum"):
    """The highest value over the last axis."""

    input: str

    def apply(self, tensors: Tensors, dtype: str) -> Array:
        """(batch, classes) → (batch,) in `dtype`."""
        result: Array = tensors[self.input].astype(dtype).max(axis=-1)
        return result


class Pick(Step, frozen=True, kw_only=True, tag="pick"):
    """One column, by its number from 0: the probability of one class."""

    input: str
    column: Annotated[int, msgspec.Meta(ge=0)]

    def apply(self, tensors: Tensors, dtype: str) -> Array:
        """(batch, columns) → (batch,) in `dtype`."""
        result: Array = tensors[self.input].astype(dtype)[..., self.column]
        return result


class TopK(Step, frozen=True, kw_only=True, tag="top_k"):
    """The `k` labels with the highest scores, best first, and those scores; of equals the first."""

    input: str
    labels: list[str]
    k: Annotated[int, msgspec.Meta(ge=1)]
    scores: str
    """the name of the second output"""

    def __post_init__(self) -> None:
        check_distinct("labels", self.labels)
        if self.k > len(self.labels):
            raise ValueError(f"the best {self.k} of {len(self.labels)} labels")

    @property
    def makes(self) -> list[str]:
        """The labels and their scores."""
        return [self.output, self.scores]

    def outputs(self, tensors: Tensors, dtype: str) -> Tensors:
        """(batch, labels) → (batch, k) strings and (batch, k) in `dtype`."""
        x = tensors[self.input].astype(dtype)
        best = np.argsort(-x, axis=-1, kind="stable")[..., : self.k]
        return {
            self.output: np.array(self.labels, object)[best],
            self.scores: np.take_along_axis(x, best, axis=-1),
        }

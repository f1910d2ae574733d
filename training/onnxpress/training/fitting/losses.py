"""The losses by name, and their numpy form, by which both frameworks' validation rows are measured alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from onnxpress.core.arrays import Array

Loss = Literal[
    "mean_squared_error",
    "cross_entropy",
    "binary_cross_entropy",
    "negative_log_likelihood",
    "binary_negative_log_likelihood",
]
"""mean_squared_error: y of the output's shape. cross_entropy: logits (rows, classes), y (rows,) of classes.
binary_cross_entropy: one logit (rows, 1), y (rows, 1) of 0.0 and 1.0. The last two are the same of networks that answer
probabilities."""
LEAST = 1e-7
"""probabilities are taken for no less, and no more than 1 - this"""


_ELEMENTS, _FEWEST, _MOST = 8192, 16, 1024


def rows_at_once(x: Sequence[Any]) -> int:
    """How many rows of the inputs to answer in one run: many short ones, few long ones, so that memory stays small."""
    longest = max(int(np.prod(part.shape[1:])) for part in x)
    return min(_MOST, max(_FEWEST, _ELEMENTS // max(1, longest)))


def mean(loss: Loss, outputs: Array, y: Array, weight: Array | None = None, *, margin: float = 0.0) -> float:
    """The loss over all rows, each counted by its `weight` (rows,), in float64; see `loop.Fit.margin`."""
    z = outputs.astype(np.float64)
    if loss == "mean_squared_error":
        rows = ((z - y) ** 2).reshape(len(z), -1).mean(axis=1)
    elif loss == "cross_entropy":
        rows = log_sum_exp(z) - np.take_along_axis(z, y.astype(np.int64)[:, None], axis=1)[:, 0]
    elif loss == "negative_log_likelihood":
        rows = -np.log(np.clip(np.take_along_axis(z, y.astype(np.int64)[:, None], axis=1)[:, 0], LEAST, 1))
    elif loss == "binary_negative_log_likelihood":
        p = np.clip(z, LEAST, 1 - LEAST)
        rows = -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean(axis=1)
    else:  # log(1 + e^z) - y z, written so that neither sign overflows
        rows = (np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))).mean(axis=1)
    if weight is not None and margin:
        rows, weight = np.where(weight < 0, np.maximum(0, margin - rows), rows), np.abs(weight)
    return float(np.average(rows, weights=weight))


def log_sum_exp(z: Array) -> Array:
    """log Σ exp over the last axis, without overflow."""
    top = z.max(axis=-1, keepdims=True)
    result: Array = (top + np.log(np.exp(z - top).sum(axis=-1, keepdims=True)))[..., 0]
    return result


def probabilities(loss: Loss, outputs: Array) -> Array:
    """Outputs → (rows, classes) probabilities in float64; a single one becomes the two classes 0 and 1."""
    z = outputs.astype(np.float64)
    if loss == "negative_log_likelihood":
        return z
    if loss == "binary_negative_log_likelihood":
        return np.concatenate([1 - z, z], axis=-1)
    if loss == "binary_cross_entropy":
        positive = 1 / (1 + np.exp(-np.clip(z, -700, 700)))
        return np.concatenate([1 - positive, positive], axis=-1)
    result: Array = np.exp(z - log_sum_exp(z)[..., None])
    return result

"""Batch norm, local response norm and transposed convolution, as ONNX defines them.

The reference implementation of onnx 1.23 trains batch norm where an older opset's node has a momentum, as all have. Of
local response norm it computes as many channels as there are rows, and transposed convolutions in groups it cannot add
up.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from onnx.reference.op_run import OpRun
from onnx.reference.ops.op_batch_normalization import BatchNormalization_14 as Reference

from onnxpress.core.arrays import Array


class BatchNormalization(Reference):
    """By the statistics that the graph holds, unless a node says that it trains."""

    def _run(self, x: Array, scale: Array, bias: Array, mean: Array, var: Array, **settings: Any) -> tuple[Any, ...]:
        if settings.get("training_mode") or len(self.onnx_node.output) > 1 or settings.get("spatial") == 0:
            return super()._run(x, scale, bias, mean, var, **settings)
        scale, bias, mean, var = (one.reshape(-1, *(1,) * (x.ndim - 2)) for one in (scale, bias, mean, var))
        found = scale * (x - mean) / np.sqrt(var + (settings.get("epsilon") or 1e-5)) + bias
        return (found.astype(x.dtype),)


class LRN(OpRun):
    """Each channel over a power of the mean square of the channels around it."""

    def _run(self, x: Array, alpha: Any = None, beta: Any = None, bias: Any = None, size: Any = None) -> tuple[Array]:
        squares = np.pad(x**2, [(0, 0), ((size - 1) // 2, size // 2), *[(0, 0)] * (x.ndim - 2)])
        total = sum(squares[:, n : n + x.shape[1]] for n in range(size))
        return ((x / (bias + alpha / size * total) ** beta).astype(x.dtype),)


class ConvTranspose(OpRun):
    """What each value adds to the places under its window; any number of spatial axes."""

    def _run(self, X: Array, W: Array, B: Any = None, **settings: Any) -> tuple[Array]:
        sizes, kernel = X.shape[2:], W.shape[2:]
        strides, dilations = (settings.get(name) or [1] * len(sizes) for name in ("strides", "dilations"))
        more, groups = settings.get("output_padding") or [0] * len(sizes), settings.get("group") or 1
        reach = [s * (n - 1) + 1 for n, s in zip(sizes, strides, strict=True)]
        whole = [r + (k - 1) * d + m for r, k, d, m in zip(reach, kernel, dilations, more, strict=True)]
        grouped = X.reshape(len(X), groups, X.shape[1] // groups, *sizes)
        weights = W.reshape(groups, X.shape[1] // groups, *W.shape[1:])
        found = np.zeros((len(X), groups, W.shape[1], *whole), X.dtype)
        for place in product(*map(range, kernel)):
            of_place: tuple[Any, ...] = (..., *place)
            part = np.einsum("ngc...,gcm->ngm...", grouped, weights[of_place])
            starts = [p * d for p, d in zip(place, dilations, strict=True)]
            under: tuple[Any, ...] = (
                ...,
                *(slice(at, at + r, s) for at, r, s in zip(starts, reach, strides, strict=True)),
            )
            found[under] += part
        found = found.reshape(len(X), -1, *whole)
        for axis, (before, behind) in enumerate(_cut(sizes, strides, whole, settings), 2):
            widths = [(max(0, -before), max(0, -behind)) if one == axis else (0, 0) for one in range(found.ndim)]
            found = np.pad(found, widths)
            found = np.take(found, np.arange(max(0, before), found.shape[axis] - max(0, behind)), axis)
        return (found if B is None else found + B.reshape(-1, *[1] * len(sizes)),)


def _cut(sizes: Any, strides: Any, whole: list[int], settings: dict[str, Any]) -> list[tuple[int, int]]:
    """How much of each axis is left out at both ends."""
    how, shape, pads = (settings.get(name) for name in ("auto_pad", "output_shape", "pads"))
    if shape is None and how not in ("SAME_UPPER", "SAME_LOWER"):
        pads = pads if pads is not None and how != "VALID" else [0] * (2 * len(whole))
        return list(zip(pads[: len(whole)], pads[len(whole) :], strict=True))
    wanted = shape[-len(whole) :] if shape is not None else [n * s for n, s in zip(sizes, strides, strict=True)]
    over = [size - one for size, one in zip(whole, wanted, strict=True)]
    return [(n // 2, n - n // 2) if how == "SAME_UPPER" else (n - n // 2, n // 2) for n in over]


OPERATORS = [BatchNormalization, LRN, ConvTranspose]

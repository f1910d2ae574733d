"""Scaling of numeric columns, fitted on the training rows only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData
from onnxpress.core.processing import Scale, Unscale

_FLOAT32 = np.finfo(np.float32)


def min_max(x_RF: np.ndarray[Any, np.dtype[np.float32]], names: Sequence[str], *, raw: str, scaled: str) -> Scale:
    """Each column of the training rows (rows, features) to [0, 1], a constant one to 0; later rows may lie outside.

    `names` are for the message only. Raises BadData for columns whose range float32 cannot divide by.
    """
    low, high = x_RF.min(axis=0).astype(np.float64), x_RF.max(axis=0).astype(np.float64)
    # Below the smallest normal number 1/span overflows in float32; such a column is constant for all purposes.
    span = np.where(high - low >= _FLOAT32.tiny, high - low, 1.0)
    wide = [name for name, size in zip(names, span, strict=True) if not size <= 1 / _FLOAT32.tiny]
    if wide:
        raise BadData(f"the range of {', '.join(wide)} is too wide for float32", hint="give it in a larger unit")
    return Scale(input=raw, output=scaled, offset=_exact(low), factor=_exact(1.0 / span))


def inverse(scale: Scale, *, input: str, output: str) -> Unscale:  # noqa: A002 - the step's own field name
    """The step that undoes `scale` on another tensor."""
    return Unscale(input=input, output=output, offset=scale.offset, unit=_exact(1.0 / np.asarray(scale.factor)))


def _exact(values: Array) -> list[float]:
    """Rounded to float32, so that numpy, the graph and the float64 truth use the very same constants."""
    rounded: list[float] = values.astype(np.float32).astype(np.float64).tolist()
    return rounded

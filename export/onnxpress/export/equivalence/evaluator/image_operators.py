"""Resize with a linear or cubic kernel, exact in float64: one matrix of weights for each axis that is resized.

The reference implementation of onnx 1.23 is 1e-6 of the values away from the cubic formula, which is more than
float32's own noise. With `antialias` the formula is Pillow's, which torch, TensorFlow and ONNX Runtime share: the
kernel is stretched over the pixels that fall into one of the smaller image, taps outside are left out, and the weights
sum to one. Without it a tap outside takes the pixel at the edge.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx.reference.ops.op_resize import Resize as ReferenceResize

from onnxpress.core.arrays import Array

Kernel = Callable[[Array], Array]
_HALF_PIXELS = frozenset({"half_pixel", "pytorch_half_pixel"})
_MODES = _HALF_PIXELS | {"asymmetric", "align_corners"}


class Resize(ReferenceResize):
    """The reference's where this one has no formula: nearest, crops, aspect ratios that are kept."""

    def _run(self, X: Any, roi: Any, scales: Any = None, sizes: Any = None, **settings: Any) -> tuple[Any]:
        antialias = bool(settings.get("antialias"))
        mode, known = settings.get("coordinate_transformation_mode"), _MODES if not antialias else _HALF_PIXELS
        kernels = {"linear": _linear, "cubic": _cubic(settings.get("cubic_coeff_a") or -0.75)}
        kernel = kernels.get(settings.get("mode") or "nearest")
        plain = settings.get("keep_aspect_ratio_policy") in (None, "stretch")
        if kernel is None or mode not in known or not plain or bool(settings.get("exclude_outside")) != antialias:
            return super()._run(X, roi, scales, sizes, **settings)
        result: Array = X.astype(np.float64)
        for place, axis in enumerate(settings.get("axes") or range(X.ndim)):
            old = X.shape[axis]
            new = int(sizes[place]) if sizes is not None else int(old * float(scales[place]))
            step = old / new if sizes is not None else 1.0 / float(scales[place])
            if new != old or step != 1.0:
                centres = _centres(mode, old, new, step)
                weights = _stretched(old, centres, step, kernel) if antialias else _clamped(old, centres, kernel)
                result = np.moveaxis(np.moveaxis(result, axis, -1) @ weights.T, -1, axis)
        return (result.astype(X.dtype),)


def _centres(mode: Any, old: int, new: int, step: float) -> Array:
    """Where in the old axis each new pixel lies."""
    places = np.arange(new, dtype=np.float64)
    if mode == "asymmetric":
        return places * step
    if mode == "align_corners":
        return places * ((old - 1) / (new - 1)) if new > 1 else places * 0.0
    if mode == "pytorch_half_pixel" and new == 1:
        return places - 0.5
    return (places + 0.5) * step - 0.5


def _stretched(old: int, centres: Array, step: float, kernel: Kernel) -> Array:
    """(new, old): what each old pixel counts for each new one, of which one covers `step` old ones."""
    distances = (np.arange(old)[None, :] - centres[:, None]) / max(step, 1.0)
    taps = kernel(np.abs(distances))
    result: Array = taps / taps.sum(axis=1, keepdims=True)
    return result


def _clamped(old: int, centres: Array, kernel: Kernel) -> Array:
    """(new, old): the same for the nearest pixels on both sides, those outside taken from the edge."""
    weights = np.zeros((len(centres), old))
    rows = np.arange(len(centres))
    for offset in (-1, 0, 1, 2):
        taps = np.floor(centres) + offset
        np.add.at(weights, (rows, np.clip(taps, 0, old - 1).astype(int)), kernel(np.abs(centres - taps)))
    return weights


def _linear(x: Array) -> Array:
    return np.clip(1.0 - x, 0.0, None)


def _cubic(a: float) -> Kernel:
    def kernel(x: Array) -> Array:
        near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
        far = ((x - 5.0) * x + 8.0) * x * a - 4.0 * a
        return np.where(x <= 1.0, near, np.where(x < 2.0, far, 0.0))

    return kernel

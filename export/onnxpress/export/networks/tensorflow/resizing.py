"""tf.image.resize in float64, for the float64 truth: TensorFlow's own computes in float32, whatever it is given."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from onnxpress.core.arrays import Array
from onnxpress.export.network import TruthUnavailable


@contextlib.contextmanager
def resized_in_float64() -> Iterator[None]:
    """While open, float64 pictures are resized in float64: bilinear and nearest, without antialias.

    Another method raises TruthUnavailable.
    """
    stock = tf.image.resize

    def resize(images: Any, size: Any, method: Any = "bilinear", *args: Any, **kwargs: Any) -> Any:
        images = tf.convert_to_tensor(images)
        if images.dtype != tf.float64 or method == "nearest":
            return stock(images, size, method, *args, **kwargs)
        if method != "bilinear" or args or any(kwargs.values()) or not tf.executing_eagerly():
            raise TruthUnavailable(f"TensorFlow resizes in float32 alone ({method})")
        batched = images if images.shape.rank == 4 else images[None]
        tall, wide = (_weights(int(old), int(new)) for old, new in zip(batched.shape[1:3], size, strict=True))
        answer = tf.einsum("yh,bhwc,xw->byxc", tall, batched, wide)
        return answer if images.shape.rank == 4 else answer[0]

    tf.image.resize = resize
    try:
        yield
    finally:
        tf.image.resize = stock


def _weights(old: int, new: int) -> Array:
    """(new, old): how much each old place gives to each new one; centres of pixels are held at half."""
    place = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
    low = np.floor(place).astype(int)
    high, share = np.minimum(low + 1, old - 1), place - low
    weights = np.zeros((new, old))
    np.add.at(weights, (np.arange(new), low), 1 - share)
    np.add.at(weights, (np.arange(new), high), share)
    return weights

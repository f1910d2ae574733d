"""TensorFlow's inputs and answers as named arrays, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from onnxpress.core.arrays import Array
from onnxpress.core.tensors import TensorSpec, size_of


def _clean(name: str) -> str:
    return str(name).partition(":")[0]


def _dtype(dtype: Any) -> str:
    return str(tf.as_dtype(dtype).name)


def _shape(shape: Any) -> tuple[int | str, ...]:
    """(None, 30) → ("batch", 30); further unknown axes are named by position, as Keras has no names for them.

    (2, None, 6) → (2, "batch", 6): a state whose layers come first.
    """
    unknown = [axis for axis, size in enumerate(shape) if size is None]
    rows = unknown[0] if len(unknown) == 1 else 0
    return tuple(
        ("batch" if axis == rows else f"axis_{axis}") if size is None or axis == rows else int(size)
        for axis, size in enumerate(shape)
    )


def spec_of(name: str, dtype: Any, shape: Any) -> TensorSpec:
    """The spec of a TensorFlow or Keras input; (None, 30) becomes [batch,30]."""
    return TensorSpec(name=_clean(name), dtype=_dtype(dtype), shape=_shape(shape))


def tensor(spec: TensorSpec, array: Array, dtype: str) -> Any:
    """A TensorFlow tensor of `array`; float32 and float64 inputs as `dtype`."""
    if spec.dtype == "string":
        return tf.constant(array.tolist(), tf.string)
    return tf.convert_to_tensor(array.astype(dtype) if spec.dtype in ("float32", "float64") else array)


def array_of(value: Any) -> Array:
    """A TensorFlow tensor as an array; strings as text."""
    array = np.asarray(value)
    if array.dtype != object:
        return array
    words = [word.decode(errors="replace") if isinstance(word, bytes) else word for word in array.ravel().tolist()]
    return np.array(words, object).reshape(array.shape)


def blank(spec: TensorSpec) -> Array:
    """Zeros of a described shape, two for every named dimension."""
    shape = [size_of(size, {}, 2) for size in spec.shape]
    if spec.dtype == "string":
        return np.full(shape, "", object)
    return np.zeros(shape, spec.dtype)


def flatten(answer: Any, prefix: str = "") -> dict[str, Any]:
    """Outputs by stable names: a dict's keys, positions as `output_0`, a lone tensor as `output`; inside them `a.0`."""
    if isinstance(answer, dict):
        items = [(str(key), value) for key, value in answer.items()]
    elif isinstance(answer, list | tuple):
        items = [(str(number) if prefix else f"output_{number}", value) for number, value in enumerate(answer)]
    else:
        return {prefix or "output": answer}
    flat: dict[str, Any] = {}
    for name, value in items:
        if value is not None:
            flat.update(flatten(value, f"{prefix}.{name}" if prefix else name))
    return flat

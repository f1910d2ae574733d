"""bfloat16 for numpy, which has none: outside the runtime such tensors are float32 arrays."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.serving.engine.runtime import onnxruntime

_ELEMENT_TYPE = 16
"""onnx.TensorProto.BFLOAT16"""


def to_bits(x: Array) -> Array:
    """float32 of any shape → the bits of the nearest bfloat16, ties to even, as uint16. A NaN stays one."""
    bits = np.asarray(x, np.float32, order="C").view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    nearest: Array = np.where(np.isnan(x), np.uint16(0x7FC0), rounded.astype(np.uint16))
    return nearest


def from_bits(bits: Array) -> Array:
    """uint16 of any shape → the float32 with the same value."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def run_of(session: Any, inputs: Collection[str]) -> Callable[..., list[Array]]:
    """`session.run` with float32 arrays for bfloat16 inputs, which are those named, and for bfloat16 outputs."""
    make = onnxruntime().OrtValue

    def run(names: list[str], feeds: dict[str, Array], options: Any = None) -> list[Array]:
        kept = {name: to_bits(value) if name in inputs else value for name, value in feeds.items()}
        values = {
            name: make.ortvalue_from_numpy_with_onnx_type(value, _ELEMENT_TYPE)
            if name in inputs
            else make.ortvalue_from_numpy(value)
            for name, value in kept.items()
        }
        return [_array(value) for value in session.run_with_ort_values(names, values, options)]

    return run


def _array(value: Any) -> Array:
    if value.data_type() != "tensor(bfloat16)":
        answer: Array = value.numpy()
        return answer
    import ctypes  # only such models need it

    shape = value.shape()
    count = int(np.prod(shape))
    if not count:
        return np.zeros(shape, np.float32)
    bits = np.ctypeslib.as_array((ctypes.c_uint16 * count).from_address(value.data_ptr()))
    return from_bits(bits).reshape(shape)

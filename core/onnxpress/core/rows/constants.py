"""The values of the graph's constants, as far as they are looked at."""

from __future__ import annotations

from onnxpress.core.onnx_graph import Tensor
from onnxpress.core.onnx_graph.tensor import BOOL, DOUBLE, FLOAT, INT32, INT64, STRING
from onnxpress.core.rows.values import FREE, Value

MOST_ELEMENTS = 64
"""of a constant whose values are looked at: a shape, axes, pads"""
_LOOKED_AT = frozenset({FLOAT, INT32, INT64, STRING, BOOL, DOUBLE})
"""arithmetic in the small types wraps around, which is not followed"""


def constant(tensor: Tensor) -> Value:
    """An initializer or the value of a Constant."""
    shape = tensor.dims
    if any(size < 0 for size in shape):
        return FREE
    return Value(shape, None, None, tensor.values(MOST_ELEMENTS) if tensor.type in _LOOKED_AT else None)

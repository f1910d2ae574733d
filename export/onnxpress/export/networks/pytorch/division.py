"""ONNX forms of torch's remainders and rounded divisions, exact as torch's are.

torch.onnx 2.13 divides whole numbers in float32, which holds them up to 2^24 only: `torch.div(seconds, 3600,
rounding_mode="floor")` is off by one or by thousands. Its remainder of floats is x - floor(x / y) y, which is no longer
between 0 and y where x / y is large or was rounded; its floor division rounds 1 / 0.1 up to 10 where torch says 9.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx_ir as ir
import torch

from onnxpress.export.networks.pytorch.opset import op

_DIVIDED = frozenset({ir.DataType.INT32, ir.DataType.INT64})
"""whole numbers that ONNX Runtime divides on every provider"""


def table() -> dict[Any, Callable[..., Any]]:
    """torch operator → its ONNX form, for `custom_translation_table`."""
    aten = torch.ops.aten
    return {
        aten.remainder.Tensor: remainder,
        aten.remainder.Scalar: remainder,
        aten.remainder.Scalar_Tensor: remainder,
        aten.floor_divide.default: floor_divide,
        aten.div.Tensor_mode: divide,
        aten.div.Scalar_mode: divide,
    }


def remainder(self: Any, other: Any) -> Any:
    """What is left, with the divisor's sign: torch takes C's fmod and adds the divisor where the signs differ."""
    self, other, dtype = _both(self, other)
    if not dtype.is_floating_point():
        return _whole(self, other, dtype, op.Mod)  # of whole numbers it has the divisor's sign
    left = op.Mod(self, other, fmod=1)
    return op.Where(_across(left, other, dtype), op.Add(left, other), left)


def floor_divide(self: Any, other: Any) -> Any:
    """The quotient rounded towards minus infinity, as Python's `//`."""
    self, other, dtype = _both(self, other)
    return _floored(self, other, dtype) if dtype.is_floating_point() else _whole(self, other, dtype, _floored_whole)


def divide(self: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
    """The quotient, rounded towards minus infinity (`floor`), towards zero (`trunc`), or not at all."""
    if rounding_mode == "floor":
        return floor_divide(self, other)
    self, other, dtype = _both(self, other)
    if rounding_mode == "trunc" and not dtype.is_floating_point():
        return _whole(self, other, dtype, op.Div)
    if not dtype.is_floating_point():
        self, other = (op.Cast(value, to=int(ir.DataType.FLOAT)) for value in (self, other))
    quotient = op.Div(self, other)
    if rounding_mode is None:
        return quotient
    return op.Mul(op.Sign(quotient), op.Floor(op.Abs(quotient)))


def _both(self: Any, other: Any) -> tuple[Any, Any, ir.DataType]:
    """Both as tensors, and their one dtype: one of them may be a plain number."""
    dtype = (self if isinstance(self, ir.Value) else other).dtype
    first, second = (value if isinstance(value, ir.Value) else _number(value, dtype) for value in (self, other))
    return first, second, dtype


def _number(value: float, dtype: ir.DataType) -> Any:
    return op.Constant(value=ir.tensor(value, dtype=dtype))


def _floored(self: Any, other: Any, dtype: ir.DataType) -> Any:
    """torch's own steps: the rest is taken away first, so that the quotient is nearly whole, then it is rounded."""
    left = op.Mod(self, other, fmod=1)
    quotient = op.Div(op.Sub(self, left), other)
    one = _number(1, dtype)
    quotient = op.Where(_across(left, other, dtype), op.Sub(quotient, one), quotient)
    floor = op.Floor(quotient)
    floor = op.Where(op.Greater(op.Sub(quotient, floor), _number(0.5, dtype)), op.Add(floor, one), floor)
    return op.Where(op.Equal(other, _number(0, dtype)), op.Div(self, other), floor)


def _floored_whole(self: Any, other: Any) -> Any:
    """Div rounds towards zero: one less where something is left and the signs differ."""
    zero = op.CastLike(op.Constant(value_int=0), self)
    below = op.And(op.Not(op.Equal(op.Mod(self, other), zero)), op.Xor(op.Less(self, zero), op.Less(other, zero)))
    return op.Sub(op.Div(self, other), op.CastLike(below, self))


def _whole(self: Any, other: Any, dtype: ir.DataType, divided: Callable[[Any, Any], Any]) -> Any:
    """Small whole numbers go through int64: not every one of them has a kernel."""
    if dtype in _DIVIDED:
        return divided(self, other)
    wide = (op.Cast(value, to=int(ir.DataType.INT64)) for value in (self, other))
    return op.Cast(divided(*wide), to=int(dtype))


def _across(left: Any, other: Any, dtype: ir.DataType) -> Any:
    """Where there is a rest, and its sign is not the divisor's."""
    zero = _number(0, dtype)
    return op.And(op.Not(op.Equal(left, zero)), op.Xor(op.Less(left, zero), op.Less(other, zero)))

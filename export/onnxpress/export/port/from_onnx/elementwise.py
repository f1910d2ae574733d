"""Operators of each element, and of values that are broadcast."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

from onnxpress.export.port.from_onnx import patterns
from onnxpress.export.port.from_onnx.nodes import OPERATORS, operator
from onnxpress.export.port.from_onnx.reader import Reading, Val

UNARY = {
    "Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh", "Exp": "exp", "Log": "log", "Sqrt": "sqrt", "Abs": "abs",
    "Neg": "neg", "Erf": "erf", "Sin": "sin", "Cos": "cos", "Tan": "tan", "Atan": "atan", "Floor": "floor",
    "Ceil": "ceil", "Round": "round", "Sign": "sign", "Not": "logical_not", "IsNaN": "isnan", "Softplus": "softplus",
    "Softsign": "softsign", "HardSwish": "hardswish", "Mish": "mish", "Reciprocal": "reciprocal", "Sinh": "sinh",
    "Cosh": "cosh", "Asin": "asin", "Acos": "acos", "Asinh": "asinh", "Acosh": "acosh", "Atanh": "atanh",
}  # fmt: skip
BINARY = {
    "Equal": "eq", "Less": "lt", "LessOrEqual": "le", "Greater": "gt", "GreaterOrEqual": "ge",
    "Sub": "sub",
}  # fmt: skip
LOGICAL = {"And": "logical_and", "Or": "logical_or", "Xor": "logical_xor"}
_SAME_WITH = {"And": True, "Or": False, "Xor": False}
"""the constant with which the operator gives the other operand"""


def _unary(name: str) -> Any:
    return lambda r, attributes, x: r.call(name, x)


def _binary(name: str) -> Any:
    return lambda r, attributes, a, b: r.call(name, *_with_tensor(r, a, b))


for _onnx, _torch in UNARY.items():
    OPERATORS[_onnx] = _unary(_torch)
for _onnx, _torch in BINARY.items():
    OPERATORS[_onnx] = _binary(_torch)


def _logical(onnx_name: str, name: str) -> Any:
    def read(r: Reading, attributes: Any, a: Val, b: Val) -> Val:
        for one, other in ((a, b), (b, a)):
            number = _operand(r, other)
            if isinstance(number, bool) and one.rank:  # no operator of torch's takes it
                if number is _SAME_WITH[onnx_name]:
                    return one
                if onnx_name == "Xor":
                    return r.call("logical_not", one)
        return r.call(name, r.tensor(a), r.tensor(b))

    return read


for _onnx, _torch in LOGICAL.items():
    OPERATORS[_onnx] = _logical(_onnx, _torch)


def _with_tensor(r: Reading, *values: Val) -> tuple[Any, ...]:
    """Constants of several elements as parameters; of one element as a number, where its dtype stays."""
    return tuple(_operand(r, value) for value in values)


def _operand(r: Reading, value: Val) -> Any:
    if value.ref is not None or value.items is not None or value.const is None:
        return value
    is_small = value.const.size == 1 and value.const.ndim <= 1
    return value.const.reshape(()).item() if is_small else r.tensor(value)


@operator("Add")
def _add(r: Reading, attributes: Any, a: Val, b: Val) -> Val:
    return patterns.layer_norm(r, a, b) or r.call("add", *_with_tensor(r, a, b))


@operator("Mul")
def _mul(r: Reading, attributes: Any, a: Val, b: Val) -> Val:
    return patterns.gelu(r) or patterns.silu(r, a, b) or r.call("mul", *_with_tensor(r, a, b))


@operator("Div")
def _div(r: Reading, attributes: Any, a: Val, b: Val) -> Val:
    if a.first.is_floating_point() if isinstance(a.first, torch.Tensor) else False:
        return r.call("div", *_with_tensor(r, a, b))
    return r.call("div", *_with_tensor(r, a, b), rounding_mode="trunc")


@operator("Pow")
def _pow(r: Reading, attributes: Any, a: Val, b: Val) -> Val:
    base, exponent = _operand(r, a), _operand(r, b)
    if isinstance(exponent, float) and exponent.is_integer():
        exponent = int(exponent)
    return r.call("pow", base, exponent)


@operator("Mod")
def _mod(r: Reading, attributes: Any, a: Val, b: Val) -> Val:
    return r.call("fmod" if attributes.get("fmod") else "remainder", *_with_tensor(r, a, b))


def _folded(name: str) -> Any:
    def read(r: Reading, attributes: Any, *values: Val) -> Val:
        return functools.reduce(lambda a, b: r.call(name, a, b), [r.tensor(value) for value in values])

    return read


OPERATORS["Max"], OPERATORS["Min"], OPERATORS["Sum"] = _folded("maximum"), _folded("minimum"), _folded("add")


@operator("Mean")
def _mean(r: Reading, attributes: Any, *values: Val) -> Val:
    return r.call("div", OPERATORS["Sum"](r, attributes, *values), len(values))


@operator("Where")
def _where(r: Reading, attributes: Any, condition: Val, a: Val, b: Val) -> Val:
    condition = r.tensor(condition)
    number = _operand(r, a)
    if not isinstance(number, Val) and b.ref is not None and len(torch.broadcast_shapes(
        *(v.first.shape for v in (condition, b))
    )) == b.rank and all(torch.broadcast_shapes(c.shape, v.shape) == v.shape for c, v in zip(
        condition.pair, b.pair, strict=True
    )):  # fmt: skip
        return r.call("masked_fill", b, condition, number)
    return r.call("where", condition, *_with_tensor(r, a, b))


@operator("LeakyRelu")
def _leaky_relu(r: Reading, attributes: Any, x: Val) -> Val:
    return r.call("leaky_relu", x, short(attributes.get("alpha", 0.01)))


@operator("Elu")
def _elu(r: Reading, attributes: Any, x: Val) -> Val:
    alpha = short(attributes.get("alpha", 1.0))
    return r.call("elu", x) if alpha == 1 else r.call("elu", x, alpha)


@operator("Selu")
def _selu(r: Reading, attributes: Any, x: Val) -> Val:
    return r.call("selu", x)


@operator("Celu")
def _celu(r: Reading, attributes: Any, x: Val) -> Val:
    return r.call("celu", x, short(attributes.get("alpha", 1.0)))


@operator("ThresholdedRelu")
def _thresholded(r: Reading, attributes: Any, x: Val) -> Val:
    return r.call("threshold", x, short(attributes.get("alpha", 1.0)), 0.0)


@operator("HardSigmoid")
def _hard_sigmoid(r: Reading, attributes: Any, x: Val) -> Val:
    alpha, beta = attributes.get("alpha", 0.2), attributes.get("beta", 0.5)
    if math.isclose(alpha, 1 / 6, rel_tol=1e-5) and beta == 0.5:
        return r.call("hardsigmoid", x)
    return r.call("clamp", r.call("add", r.call("mul", x, short(alpha)), short(beta)), 0, 1)


@operator("Clip")
def _clip(r: Reading, attributes: Any, x: Val, low: Val | None = None, high: Val | None = None) -> Val:
    bounds = [
        attributes.get(name) if value is None else r.constant(value).item()
        for name, value in (("min", low), ("max", high))
    ]
    if bounds == [0, 6]:
        return r.call("relu6", x)
    given = {name: short(bound) for name, bound in zip(("min", "max"), bounds, strict=True) if bound is not None}
    return r.call("clamp", x, **given)


@operator("Gelu")
def _gelu(r: Reading, attributes: Any, x: Val) -> Val:
    if attributes.get("approximate", b"none") == b"tanh":
        return r.call("gelu", x, approximate="tanh")
    return r.call("gelu", x)


@operator("Swish")
def _swish(r: Reading, attributes: Any, x: Val) -> Val:
    alpha = attributes.get("alpha", 1.0)
    return r.call("silu", x) if alpha == 1 else r.call("mul", x, r.call("sigmoid", r.call("mul", x, short(alpha))))


@operator("PRelu")
def _prelu(r: Reading, attributes: Any, x: Val, slope: Val) -> Val:
    array = r.constant(slope)
    channels = array.size
    if channels > 1 and (x.rank < 2 or array.shape[0] != channels or array.ndim != x.rank - 1):
        raise r.refuse("a PRelu with a slope for each element has no correspondence")
    return r.placed("prelu", nn.PReLU(channels), {"weight": (slope, lambda a: a.reshape(-1))}, x)


@operator("Softmax", "LogSoftmax", "Hardmax")
def _softmax(r: Reading, attributes: Any, x: Val) -> Val:
    name = {"Softmax": "softmax", "LogSoftmax": "log_softmax"}.get(r.node.op_type)
    if name is None:
        raise r.refuse("there is no correspondence of the operator Hardmax")
    old = r.opset < 13
    axis = attributes.get("axis", 1 if old else -1) % x.rank
    if old and axis != x.rank - 1:
        sizes = [x.size(n) for n in range(axis, x.rank)]
        if None in sizes:
            raise r.refuse("a softmax over several axes at once, of which one varies, has no correspondence")
        return r.call("unflatten", r.call(name, r.call("flatten", x, axis), dim=-1), axis, tuple(sizes))
    return r.call(name, x, dim=-1 if axis == x.rank - 1 else axis)


@operator("Identity", "Dropout")
def _same(r: Reading, attributes: Any, x: Val, *_: Any) -> Any:
    return (x, None) if r.node.op_type == "Dropout" else x


@operator("Cast", "CastLike")
def _cast(r: Reading, attributes: Any, x: Val, like: Val | None = None) -> Val:
    if like is not None:
        dtype = like.first.dtype
    else:
        dtype = torch.from_numpy(np.zeros(1, onnx.helper.tensor_dtype_to_np_dtype(attributes["to"]))).dtype
    return x if x.first.dtype == dtype else r.call("to", x, str(dtype))


def short(value: float) -> float:
    """A float32 attribute as it was meant: 0.01, not 0.009999999776."""
    meant = float(f"{value:.7g}")
    return meant if np.float32(meant) == np.float32(value) else float(value)

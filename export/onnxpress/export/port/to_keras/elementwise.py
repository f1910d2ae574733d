"""Functions of each element, and of two values that are broadcast."""

from __future__ import annotations

import math
import re
from typing import Any

from onnxpress.export.port.code import factor
from onnxpress.export.port.layout import Value
from onnxpress.export.port.steps import Shown
from onnxpress.export.port.to_keras.registry import FUNCTIONS, function
from onnxpress.export.port.to_keras.writer import Writer

UNARY = {
    "relu": "relu", "sigmoid": "sigmoid", "tanh": "tanh", "silu": "silu", "exp": "exp", "log": "log", "log1p": "log1p",
    "expm1": "expm1", "sqrt": "sqrt", "rsqrt": "rsqrt", "abs": "abs", "neg": "negative", "square": "square",
    "relu6": "relu6", "hardswish": "hard_swish", "hardsigmoid": "hard_sigmoid",
    "logsigmoid": "log_sigmoid", "sin": "sin", "cos": "cos", "floor": "floor", "ceil": "ceil", "round": "round",
    "sign": "sign", "erf": "erf", "isnan": "isnan", "logical_not": "logical_not", "selu": "selu", "tan": "tan",
    "arctan": "arctan", "atan": "arctan", "log2": "log2", "log10": "log10", "isfinite": "isfinite", "isinf": "isinf",
    "sinh": "sinh", "cosh": "cosh", "asin": "arcsin", "acos": "arccos", "trunc": "trunc", "tanhshrink": "tanh_shrink",
    "nan_to_num": "nan_to_num", "celu": "celu",
}  # fmt: skip
SIGNS = {
    "add": "+", "sub": "-", "mul": "*", "div": "/", "pow": "**", "lt": "<", "le": "<=", "gt": ">", "ge": ">=",
    "eq": "==", "ne": "!=", "floor_divide": "//", "remainder": "%", "mod": "%",
}  # fmt: skip
_ON_SIZES = ("add", "sub", "mul", "floor_divide")


def of_sizes(w: Writer, name: str, *args: Any) -> Value:
    if name not in _ON_SIZES:
        raise w.refuse(f"{name} of a size that varies has no correspondence")
    code = f" {SIGNS[name]} ".join(w.operand(a) for a in args)
    return Value(code, w.step.shown, (), number=w.step.shown, bare=False)


def binary(
    w: Writer, name: str, x: Any, other: Any = None, alpha: Any = 1, rounding_mode: Any = None, **more: Any
) -> Value:
    other = more.pop("exponent", other)
    if more:
        raise w.refuse(f"{name} with {', '.join(more)} has no correspondence")
    (a, b), lead = w.together([x, other])
    kinds = [v.shown.dtype for v in (a, b) if isinstance(v, Value) and isinstance(v.shown, Shown)]
    if name == "div" and rounding_mode is not None:
        if rounding_mode == "trunc":
            return w.like(lead, _towards_zero(w, a, b, kinds), bare=False)
        name = "floor_divide"
    if name == "div" and not any(k.startswith("float") for k in kinds):
        a = Value(f'ops.cast({a.code}, "float32")', a.shown, a.perm)
    if any(k.startswith("float") for k in kinds):
        a, b = (_as_float(v, other) for v, other in ((a, b), (b, a)))
    right = factor(b) if name == "mul" and isinstance(b, float) else w.operand(b)
    if alpha != 1:
        right = f"{right} * {alpha}"
    if isinstance(a, Value) and isinstance(b, Value) and len(set(kinds)) == 2:
        floats = [v for v in (a, b) if v.shown.dtype.startswith("float")]
        if len(floats) == 1:
            number = re.fullmatch(r"-?[\d.]+(e-?\d+)?", floats[0].code) is not None  # a constant of the source's
            to = "keras.config.floatx()" if number else f"{floats[0].code}.dtype"
            a, b = (v if v is floats[0] else Value(f"ops.cast({v.code}, {to})", v.shown, v.perm) for v in (a, b))
            right = w.operand(b)
    sign = SIGNS[name] if name == "pow" and _is_simple(w.operand(a)) and _is_simple(right) else f" {SIGNS[name]} "
    return w.like(lead, f"{w.operand(a)}{sign}{right}", bare=False)


def _as_float(value: Any, other: Any) -> Any:
    """A size that varies, as a float beside a tensor of floats; all else as it is."""
    if not isinstance(value, Value) or value.number is None or not isinstance(other.shown, Shown):
        return value
    kind = f"{other.code}.dtype" if other.code.isidentifier() else "keras.config.floatx()"
    return Value(f"ops.cast({value.code}, {kind})", value.shown, ())


def _is_simple(code: str) -> bool:
    """Whether a power of it is written without blanks."""
    return re.fullmatch(r"-?(\d+(\.\d*)?(e-?\d+)?|[A-Za-z_][\w.]*)", code) is not None


def _towards_zero(w: Writer, a: Any, b: Any, kinds: list[str]) -> str:
    if any(kind.startswith("float") for kind in kinds):
        return f"ops.trunc({w.operand(a)} / {w.operand(b)})"
    sign = f"ops.sign({a.code})" if isinstance(a, Value) else repr(1 if a > 0 else -1)
    if isinstance(b, Value):
        return f"{sign} * ops.sign({b.code}) * (ops.abs({_code(a)}) // ops.abs({b.code}))"
    return f"{sign} * (ops.abs({_code(a)}) // {abs(b)})" if b > 0 else f"-{sign} * (ops.abs({_code(a)}) // {abs(b)})"


def _code(value: Any) -> str:
    return value.code if isinstance(value, Value) else repr(value)


@function("size")
def _size_of(w: Writer, x: Value, axis: int) -> Value:
    return Value(f"ops.shape({x.code})[{x.place(axis)}]", w.step.shown, (), number=w.step.shown)


def _elementwise(name: str) -> None:
    def write(w: Writer, *values: Any, **named: Any) -> Value:
        found, lead = w.together([*values, *named.values()])
        return w.like(lead, f"ops.{name}({', '.join(v.code if isinstance(v, Value) else repr(v) for v in found)})")

    FUNCTIONS[name] = write


for _same in ("maximum", "minimum", "logical_and", "logical_or", "logical_xor", "where"):
    _elementwise(_same)


def _loss(name: str, of_one: str) -> None:
    def write(w: Writer, x: Value, target: Value, *_: Any, reduction: str = "mean", **__: Any) -> Value:
        (a, b), lead = w.together([x, target])
        code = f"ops.{of_one}({w.operand(a)} - {w.operand(b)})"
        return w.like(lead, code) if reduction == "none" else w.result(f"ops.{reduction}({code})")

    FUNCTIONS[name] = write


_loss("mse_loss", "square")
_loss("l1_loss", "abs")


@function("masked_fill")
def _masked_fill(w: Writer, x: Value, mask: Value, value: Any) -> Value:
    (m, v), lead = w.together([mask, x])
    filled = {-math.inf: '-float("inf")', math.inf: 'float("inf")'}.get(
        value, repr(value) if not isinstance(value, Value) else value.code
    )
    return w.like(lead, f"ops.where({m.code}, {filled}, {v.code})")


@function("rsub")
def _rsub(w: Writer, x: Any, other: Any) -> Value:
    return binary(w, "sub", other, x)


@function("leaky_relu")
def _leaky_relu(w: Writer, x: Value, negative_slope: float = 0.01, inplace: bool = False) -> Value:
    return w.like(x, f"ops.leaky_relu({x.code}, negative_slope={negative_slope})")


@function("elu")
def _elu(w: Writer, x: Value, alpha: float = 1.0, inplace: bool = False) -> Value:
    return w.like(x, f"ops.elu({x.code})" if alpha == 1 else f"ops.elu({x.code}, alpha={alpha})")


@function("gelu")
def _gelu(w: Writer, x: Value, approximate: str = "none") -> Value:
    return w.like(x, f"ops.gelu({x.code}, approximate={approximate == 'tanh'})")


@function("softplus")
def _softplus(w: Writer, x: Value, beta: float = 1.0, threshold: float = 20.0) -> Value:
    if beta != 1:
        return w.like(x, f"ops.softplus({beta} * {w.operand(x)}) / {beta}", bare=False)
    return w.like(x, f"ops.softplus({x.code})")


@function("clamp")
def _clamp(w: Writer, x: Value, min: Any = None, max: Any = None) -> Value:  # noqa: A002 - torch's names
    if min is not None and max is not None:
        return w.like(x, f"ops.clip({x.code}, {min}, {max})")
    return w.like(x, f"ops.maximum({x.code}, {min})" if max is None else f"ops.minimum({x.code}, {max})")


FUNCTIONS["mish"] = lambda w, x, inplace=False: w.like(
    x, f"{w.operand(x)} * ops.tanh(ops.softplus({x.code}))", bare=False
)
FUNCTIONS["softsign"] = lambda w, x: w.like(x, f"{w.operand(x)} / (1.0 + ops.abs({x.code}))", bare=False)
FUNCTIONS["clamp_min"] = lambda w, x, min: _clamp(w, x, min)  # noqa: A006
FUNCTIONS["reciprocal"] = lambda w, x: w.like(x, f"1.0 / {w.operand(x)}", bare=False)
FUNCTIONS["hardtanh"] = lambda w, x, min_val=-1.0, max_val=1.0, inplace=False: _clamp(w, x, min_val, max_val)
FUNCTIONS["detach"] = lambda w, x: w.like(x, f"ops.stop_gradient({x.code})")


@function("threshold")
def _threshold(w: Writer, x: Value, threshold: float, value: float, inplace: bool = False) -> Value:
    return w.like(x, f"ops.where({w.operand(x)} > {threshold}, {x.code}, {value})")


FUNCTIONS["hardshrink"] = lambda w, x, lambd=0.5: w.like(x, f"ops.hard_shrink({x.code}, threshold={lambd})")
FUNCTIONS["softshrink"] = lambda w, x, lambd=0.5: w.like(x, f"ops.soft_shrink({x.code}, threshold={lambd})")


@function("glu")
def _glu(w: Writer, x: Value, dim: int = -1) -> Value:
    w.settle(x)
    return w.like(x, f"ops.glu({x.code}, axis={x.written_place(dim)})")


@function("type_as")
def _type_as(w: Writer, x: Value, other: Value) -> Value:
    return cast(w, x, other.shown.dtype)


def cast(w: Writer, x: Value, dtype: Any) -> Value:
    x = w.made(x)
    name = dtype.removeprefix("torch.") if isinstance(dtype, str) else str(dtype).removeprefix("torch.")
    if name == "float32":  # whatever the floats are: the proof runs the same code in float64
        if x.shown.dtype == "float32":
            return x
        return w.like(x, f"ops.cast({x.code}, keras.config.floatx())")
    return x if x.shown.dtype == name else w.like(x, f'ops.cast({x.code}, "{name}")')


@function("to")
def _to(w: Writer, x: Value, *args: Any, dtype: Any = None, **_: Any) -> Value:
    for arg in (*args, dtype):
        if isinstance(arg, Value):
            return cast(w, x, arg.shown.dtype)
        if str(arg).startswith("torch.") and str(arg) != "torch.strided":
            return cast(w, x, arg)
    return x


FUNCTIONS["type"] = FUNCTIONS["to"]
for _name, _dtype in {
    "float": "float32", "double": "float64", "half": "float16", "long": "int64", "int": "int32", "bool": "bool",
}.items():  # fmt: skip
    FUNCTIONS[_name] = lambda w, x, dtype=_dtype, **_: cast(w, x, dtype)

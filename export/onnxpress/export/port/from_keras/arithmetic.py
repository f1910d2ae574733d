"""Functions of each value by itself, of two, and over axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from onnxpress.export.port.from_keras.axes import transposed
from onnxpress.export.port.from_keras.builder import Builder
from onnxpress.export.port.from_keras.registry import layer, operation
from onnxpress.export.port.from_keras.values import Value

_UNARY = {
    "Absolute": "abs", "Abs": "abs", "Exp": "exp", "Exp2": "exp2", "Expm1": "expm1", "Log": "log", "Log1p": "log1p",
    "Log2": "log2", "Log10": "log10", "Sqrt": "sqrt", "Rsqrt": "rsqrt", "Square": "square", "Sin": "sin", "Cos": "cos",
    "Tan": "tan", "Arcsin": "asin", "Arccos": "acos", "Arctan": "atan", "Sinh": "sinh", "Cosh": "cosh",
    "Arcsinh": "asinh", "Arccosh": "acosh", "Arctanh": "atanh", "Negative": "neg", "Sign": "sign", "Floor": "floor",
    "Ceil": "ceil", "Round": "round", "Trunc": "trunc", "Reciprocal": "reciprocal", "Erf": "erf", "Erfinv": "erfinv",
    "Isnan": "isnan", "Isinf": "isinf", "Isfinite": "isfinite", "LogicalNot": "logical_not", "StopGradient": "detach",
    "OnesLike": "ones_like", "ZerosLike": "zeros_like", "Erfc": "erfc",
}  # fmt: skip
_BINARY = {
    "Add": "add", "Subtract": "sub", "Multiply": "mul", "Divide": "div", "TrueDivide": "div", "Power": "pow",
    "FloorDivide": "floor_divide", "Mod": "remainder", "Equal": "eq", "NotEqual": "ne", "Less": "lt",
    "LessEqual": "le", "Greater": "gt", "GreaterEqual": "ge", "Maximum": "maximum", "Minimum": "minimum",
    "LogicalAnd": "logical_and", "LogicalOr": "logical_or", "LogicalXor": "logical_xor", "Arctan2": "atan2",
    "Logaddexp": "logaddexp",
}  # fmt: skip
_TENSORS_ONLY = ("maximum", "minimum", "atan2", "logaddexp", "logical_and", "logical_or", "logical_xor")


@operation(*_UNARY)
def _unary(w: Builder, op: Any, x: Value) -> Value:
    x = w.made(x)
    return w.like(x, _UNARY[type(op).__name__], x)


@operation("Copy", "ConvertToTensor", "Array")
def _copy(w: Builder, op: Any, x: Value) -> Value:
    return w.made(x)


@operation(*_BINARY)
def _binary(w: Builder, op: Any, a: Any, b: Any) -> Value:
    return binary(w, _BINARY[type(op).__name__], a, b)


def binary(w: Builder, name: str, a: Any, b: Any) -> Value:
    """Of two, broadcast as Keras does and with its dtypes."""
    values = [_size(w, v) for v in (a, b)]
    tensors = [v for v in values if isinstance(v, Value)]
    if name == "div" and any(isinstance(v, Value) and v.dtype == "bool" for v in values):
        raise w.refuse("a division of truth values has no correspondence")
    if len(tensors) == 1 and name in _TENSORS_ONLY:
        return _with_number(w, name, tensors[0], next(v for v in values if not isinstance(v, Value)))
    found, lead = w.together(values)
    assert lead is not None
    shaped = next(v for v in found if isinstance(v, Value) and v.rank == lead.rank)
    return w.like(_layout(shaped, lead), name, *found)


def _size(w: Builder, value: Any) -> Any:
    """The step that reads a size that varies, of which a number says that it stands for it."""
    is_size = isinstance(value, int | float) and math.isfinite(value) and value == int(value) and w.varies(int(value))
    return w.told(int(value)) if is_size else value


def _layout(value: Value, lead: Value) -> Value:
    """The layout that both have."""
    return Value(value.ref, value.shown, value.perm, lead.order, lead.made_by)


def _with_number(w: Builder, name: str, x: Value, number: Any) -> Value:
    x = w.made(x)
    if name in ("maximum", "minimum"):
        return w.like(x, "clamp", x, **{"min" if name == "maximum" else "max": number})
    if name in ("logical_and", "logical_or", "logical_xor"):
        x = x if x.dtype == "bool" else w.like(x, "ne", x, 0)
        if name == "logical_xor":
            return w.like(x, "logical_not", x) if number else x
        if bool(number) == (name == "logical_and"):
            return x
        return w.like(x, "zeros_like" if name == "logical_and" else "ones_like", x)
    raise w.refuse(f"torch's {name} of a tensor and a number has no correspondence")


@operation("Where")
def _where(w: Builder, op: Any, condition: Value, a: Any = None, b: Any = None) -> Value:
    if a is None or b is None:
        raise w.refuse("where with a condition alone has no correspondence")
    found, lead = w.together([condition, a, b])
    assert lead is not None
    if found[0].dtype != "bool":
        found[0] = w.like(found[0], "ne", found[0], 0)
    shaped = next(v for v in found if isinstance(v, Value) and v.rank == lead.rank)
    return w.like(_layout(shaped, lead), "where", *found)


@operation("Clip")
def _clip(w: Builder, op: Any, x: Value) -> Value:
    x = w.made(x)
    return w.like(x, "clamp", x, op.x_min, op.x_max)


@operation("Cast", "SaturateCast")
def _cast(w: Builder, op: Any, x: Value) -> Value:
    x = w.made(x)
    if x.dtype == op.dtype:
        return x
    return w.like(x, "to", x, f"torch.{op.dtype}")


_MERGES = {"Add": "add", "Subtract": "sub", "Multiply": "mul", "Maximum": "maximum", "Minimum": "minimum"}


@layer(*_MERGES)
def _merge(w: Builder, keras_layer: Any, tensors: Sequence[Value]) -> Value:
    found = tensors[0]
    for other in tensors[1:]:
        if found.rank != other.rank:
            raise w.refuse("a merge of tensors of different ranks has no correspondence")
        found = binary(w, _MERGES[type(keras_layer).__name__], found, other)
    return found


@layer("Average")
def _average(w: Builder, keras_layer: Any, tensors: Sequence[Value]) -> Value:
    found = tensors[0]
    for other in tensors[1:]:
        found = binary(w, "add", found, other)
    return w.like(found, "div", found, len(tensors))


_OVER_AXES = {
    "Sum": "sum", "Mean": "mean", "Max": "amax", "Min": "amin", "Amax": "amax", "Amin": "amin", "Any": "any",
    "All": "all", "Logsumexp": "logsumexp", "Var": "var", "Std": "std",
}  # fmt: skip


@operation(*_OVER_AXES)
def _over_axes(w: Builder, op: Any, x: Value, **_: Any) -> Value:
    x = w.settle(w.made(x))
    name = _OVER_AXES[type(op).__name__]
    given = range(x.rank) if op.axis is None else np.ravel(op.axis)
    return over_axes(w, name, x, [int(a) % x.rank for a in given], bool(op.keepdims))


def over_axes(w: Builder, name: str, x: Value, axes: Sequence[int], keep: bool) -> Value:
    """What remains of the axes that are left, in their layout."""
    options: dict[str, Any] = {"keepdim": True} if keep else {}
    if name in ("var", "std"):
        options["correction"] = 0  # Keras divides by n
    if name == "mean" and not x.dtype.startswith("float"):
        x = w.like(x, "to", x, "torch.float32")
    places = tuple(sorted(x.place(a) for a in axes))
    dim: Any = (x.written_place(axes[0])) if len(places) == 1 else places
    left = [a for a in x.perm if a not in axes]
    perm = x.perm if keep else tuple(sorted(left).index(a) for a in left)
    return w.function(name, x, dim=dim, perm=perm, **options)


@operation("Prod", "Cumsum", "Cumprod", "Argmax", "Argmin", "Argsort")
def _over_one(w: Builder, op: Any, x: Value, **_: Any) -> Value:
    kind = type(op).__name__
    x = w.settle(w.made(x))
    if not isinstance(op.axis, int):
        raise w.refuse(f"{kind} over all axes, or several, has no correspondence", "give one axis")
    keep = bool(getattr(op, "keepdims", False))
    same_shape = kind in ("Cumsum", "Cumprod", "Argsort")
    left = [a for a in x.perm if a != op.axis % x.rank]
    perm = x.perm if keep or same_shape else tuple(sorted(left).index(a) for a in left)
    options: dict[str, Any] = {"keepdim": True} if keep else {}
    if kind == "Argsort":
        options["stable"] = True
    found = w.function(kind.lower(), x, dim=x.written_place(op.axis), perm=perm, **options)
    if kind.startswith("Arg"):
        return w.like(found, "to", found, "torch.int32")
    return found


@operation("Matmul", "Dot")
def matmul(w: Builder, op: Any, a: Value, b: Value) -> Value:
    """The product over a's last and b's last but one axis."""
    if type(op).__name__ == "Dot" and a.rank > 2 and b.rank > 2:
        raise w.refuse("ops.dot of tensors of more than two axes has no correspondence", "use ops.matmul")
    found = []
    for value in (a, b):
        value = w.made(value)
        found.append(w.settle(value))
    a, b = found
    a, b = _ready(w, a), _ready(w, b)
    return w.function("matmul", a, b)


def _ready(w: Builder, value: Value) -> Value:
    """In Keras's order; where only the last two are exchanged, by torch's `mT`."""
    if value.rank > 2 and value.perm == (*range(value.rank - 2), value.rank - 1, value.rank - 2):
        return w.function("transpose", value, -2, -1)
    if value.rank == 2 and value.perm == (1, 0):
        return w.function("transpose", value, 0, 1)
    return w.plain(value, "the product is over the last two axes")


@operation("Einsum")
def _einsum(w: Builder, op: Any, *operands: Value) -> Value:
    values = [w.plain(w.made(v)) if v.variable is not None else w.settle(v) for v in operands]
    left, _, out = op.subscripts.replace(" ", "").partition("->")
    terms = left.split(",")
    if not out or "." in op.subscripts:
        raise w.refuse(f"einsum of {op.subscripts} has no correspondence", "name all axes and the answer's")
    moved = ["".join(term[axis] for axis in v.perm) for term, v in zip(terms, values, strict=True)]
    return w.function("einsum", f"{', '.join(moved)} -> {out}", *values)


@operation("Tensordot")
def _tensordot(w: Builder, op: Any, a: Value, b: Value) -> Value:
    a, b = w.plain(w.made(a)), w.plain(w.made(b))
    if isinstance(op.axes, int):
        return w.function("tensordot", a, b, op.axes)
    axes = tuple(tuple(int(n) % v.rank for n in np.ravel(part)) for part, v in zip(op.axes, (a, b), strict=True))
    return w.function("tensordot", a, b, axes)


@layer("Dot")
def _dot(w: Builder, keras_layer: Any, tensors: Sequence[Value]) -> Value:
    a, b = (w.settle(w.made(t)) for t in tensors)
    axes = keras_layer.axes
    first, second = (axes, axes) if isinstance(axes, int) else axes
    first, second = first % a.rank, second % b.rank
    if keras_layer.normalize:
        a, b = (_unit(w, v, axis, 1e-14) for v, axis in ((a, first), (b, second)))
    if a.rank > 3 or b.rank > 3:
        raise w.refuse("a Dot of more than three axes has no correspondence", "use ops.einsum")
    if a.rank == b.rank == 2:
        a, b = w.plain(a), w.plain(b)
        return w.function("sum", w.function("mul", a, b), dim=-1, keepdim=True)
    if a.rank != b.rank:
        terms = ["abc"[: v.rank] for v in (a, b)]
        terms[1] = terms[1].replace("bc"[second - 1], "x").replace("b" if second != 1 else "c", "d").replace("x", "s")
        terms[0] = terms[0].replace("abc"[first], "s")
        out = "a" + "".join(c for term in terms for c in term[1:] if c != "s")
        moved = ["".join(term[axis] for axis in v.perm) for term, v in zip(terms, (a, b), strict=True)]
        return w.function("einsum", f"{', '.join(moved)} -> {out}", a, b)
    if first == 1:
        a = transposed(w, a, (0, 2, 1))
    if second == 2:
        b = transposed(w, b, (0, 2, 1))
    return w.function("matmul", _ready(w, a), _ready(w, b))


def _unit(w: Builder, x: Value, axis: int, least: float) -> Value:
    """Of length 1 along the axis; `least` is what stands under the root at least."""
    square = w.like(x, "sum", w.like(x, "square", x), dim=x.written_place(axis), keepdim=True)
    return w.like(x, "mul", x, w.like(x, "rsqrt", w.like(x, "clamp", square, min=least)))


@operation("Take")
def _take(w: Builder, op: Any, x: Value, indices: Any) -> Value:
    x = w.settle(w.made(x))
    axis = None if op.axis is None else op.axis % x.rank
    if axis is None:
        raise w.refuse("take without an axis has no correspondence")
    if isinstance(indices, int):
        left = [a for a in x.perm if a != axis]
        perm = tuple(sorted(left).index(a) for a in left)
        return w.function("select", x, x.place(axis), indices, perm=perm)
    if isinstance(indices, list | tuple):
        if not all(isinstance(one, int) for one in indices):
            raise w.refuse(
                "take of places in several axes has no correspondence", "keras.ops.convert_to_tensor(places)"
            )
        return w.function("getitem", x, (*(slice(None),) * x.place(axis), list(indices)), perm=x.perm)
    indices = w.plain(w.made(indices))
    x = w.plain(x)
    return w.function("getitem", x, (*(slice(None),) * axis, indices))


@operation("OneHot")
def _one_hot(w: Builder, op: Any, x: Value) -> Value:
    if op.axis not in (-1, x.rank):
        raise w.refuse("one_hot along another axis than the last has no correspondence")
    ids = w.function("to", w.plain(w.made(x)), "torch.int64")
    return w.function("to", w.function("one_hot", ids, op.num_classes), f"torch.{op.dtype or 'float32'}")


@layer("CategoryEncoding")
def _category_encoding(w: Builder, keras_layer: Any, x: Value) -> Value:
    if keras_layer.output_mode not in ("multi_hot", "one_hot", "count"):
        raise w.refuse(f"CategoryEncoding by {keras_layer.output_mode} has no correspondence")
    ids = w.function("to", w.plain(w.made(x)), "torch.int64")
    hot = w.function("one_hot", ids, keras_layer.num_tokens)
    if keras_layer.output_mode == "one_hot":
        if ids.sizes[-1] == 1:
            hot = w.function("squeeze", hot, -2)
    elif ids.rank > 1:
        hot = w.function("amax" if keras_layer.output_mode == "multi_hot" else "sum", hot, dim=-2)
    return w.function("to", hot, "torch.float32")


@layer("Discretization")
def _discretization(w: Builder, keras_layer: Any, x: Value) -> Value:
    if keras_layer.output_mode not in ("int", "one_hot", "multi_hot"):
        raise w.refuse(f"a Discretization by {keras_layer.output_mode} has no correspondence", "int or one_hot")
    x = w.floats(x)
    x = w.plain(x) if keras_layer.output_mode != "int" else w.settle(x)
    edges = w.made(w.variable(np.asarray(keras_layer.bin_boundaries, np.float32), "edges"))
    found = w.like(x, "bucketize", x, edges, right=True)
    if keras_layer.output_mode == "int":
        return found
    hot = w.function("one_hot", found, len(keras_layer.bin_boundaries) + 1)
    if keras_layer.output_mode == "multi_hot" or found.sizes[-1] == 1:
        hot = w.function("amax", hot, dim=-2) if found.rank > 1 else hot
    return w.function("to", hot, "torch.float32")


@layer("IntegerLookup")
def _integer_lookup(w: Builder, keras_layer: Any, ids: Value) -> Value:
    words = np.asarray(keras_layer.get_vocabulary(include_special_tokens=False), np.int64)
    if keras_layer.output_mode != "int" or keras_layer.num_oov_indices != 1 or keras_layer.mask_token is not None:
        raise w.refuse("this IntegerLookup has no correspondence", "one index for what is unknown, none for a mask")
    ids = w.function("to", w.plain(w.made(ids)), "torch.int64")
    table = w.constant(words)
    known = w.function("eq", w.function("unsqueeze", ids, -1), table, called="known")
    place = w.function("argmax", w.function("to", known, "torch.int64"), dim=-1)
    return w.function("where", w.function("any", known, dim=-1), w.function("add", place, 1), 0)


@operation("Normalize")
def _normalize(w: Builder, op: Any, x: Value) -> Value:
    x = w.settle(w.made(x))
    if not isinstance(op.axis, int) or op.order != 2:
        raise w.refuse("this normalize has no correspondence", "order 2 over one axis")
    if op.epsilon is None:
        return _unit(w, x, op.axis, 1e-14)
    square = w.like(x, "sum", w.like(x, "square", x), dim=x.written_place(op.axis), keepdim=True)
    return w.like(x, "mul", x, w.like(x, "rsqrt", w.like(x, "clamp", square, min=float(op.epsilon) ** 2)))

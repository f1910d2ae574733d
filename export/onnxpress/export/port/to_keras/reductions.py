"""Functions over axes."""

from __future__ import annotations

import math
from typing import Any

from onnxpress.export.port.layout import Value
from onnxpress.export.port.to_keras.elementwise import cast
from onnxpress.export.port.to_keras.registry import FUNCTIONS, function
from onnxpress.export.port.to_keras.writer import Writer


def axes_of(x: Value, dim: Any) -> tuple[int, ...]:
    return tuple(
        axis % x.rank
        for axis in (range(x.rank) if dim is None or dim == () else (dim if isinstance(dim, tuple) else (dim,)))
    )


def reduced(w: Writer, name: str, x: Value, dim: Any, keepdim: bool) -> Value:
    w.settle(x)
    axes = axes_of(x, dim)
    shown = w.step.shown[0] if isinstance(w.step.shown, tuple) else w.step.shown
    if keepdim:
        perm = x.perm
    else:
        left = [axis for axis in x.perm if axis not in axes]
        perm = tuple(sorted(left).index(axis) for axis in left)
    places = x.written_place(axes[0]) if len(axes) == 1 else tuple(sorted(x.place(axis) for axis in axes))
    axis = "" if len(axes) == x.rank and dim is None else f", axis={places}"
    kept = ", keepdims=True" if keepdim else ""
    return Value(f"ops.{name}({x.code}{axis}{kept})", shown, perm)


def _reduction(torch_name: str, keras_name: str) -> None:
    def write(w: Writer, x: Value, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Value:
        x = w.made(x)
        if torch_name == "sum" and x.shown.dtype == "bool":
            x = w.like(x, f'ops.cast({x.code}, "int64")')
        found = reduced(w, keras_name, x, dim, keepdim)
        if torch_name.startswith("arg") and w.meets_tensors():
            found.code = f'ops.cast({found.code}, "int64")'
        return found

    FUNCTIONS[torch_name] = write


for _torch in ("sum", "mean", "prod", "any", "all", "logsumexp", "argmax", "argmin"):
    _reduction(_torch, _torch)
_reduction("amax", "max")
_reduction("amin", "min")


def _extreme(name: str) -> None:
    def write(w: Writer, x: Value, dim: Any = None, keepdim: bool = False) -> Value:
        if isinstance(dim, Value):
            return FUNCTIONS[f"{name}imum"](w, x, dim)
        found = reduced(w, name, x, dim, keepdim)
        if dim is None:
            return found
        where = reduced(w, f"arg{name}", x, dim, keepdim)
        where.shown = w.step.shown[1]
        if w.meets_tensors() and w.is_second_read():
            where.code = f'ops.cast({where.code}, "int64")'
        return Value(found.code, w.step.shown, parts=[found, where])

    FUNCTIONS[name] = write


_extreme("max")
_extreme("min")


def _spread(name: str) -> None:
    def write(
        w: Writer, x: Value, dim: Any = None, unbiased: bool = True, keepdim: bool = False, correction: Any = None
    ) -> Value:
        unbiased = bool(correction) if correction is not None else unbiased
        found = reduced(w, name, x, dim, keepdim)
        if not unbiased:
            return found
        sizes = [x.sizes[axis] for axis in axes_of(x, dim)]
        if None in sizes:
            raise w.refuse(f"{name} with n − 1 over an axis whose size varies has no correspondence", "unbiased=False")
        n = math.prod(size for size in sizes if size)
        factor = n / (n - 1) if name == "var" else math.sqrt(n / (n - 1))
        return Value(f"{found.code} * {factor!r}", found.shown, found.perm, bare=False)

    FUNCTIONS[name] = write


_spread("std")
_spread("var")


@function("norm")
def _norm(w: Writer, x: Value, p: Any = 2, dim: Any = None, keepdim: bool = False, **_: Any) -> Value:
    if p not in (2, "fro", 2.0, None, 1):
        raise w.refuse(f"a norm of order {p} has no correspondence")
    if p == 1:
        return reduced(w, "sum", w.like(x, f"ops.abs({x.code})"), dim, keepdim)
    found = reduced(w, "sum", w.like(x, f"ops.square({x.code})"), dim, keepdim)
    w.shared.helpers.add("root")
    return Value(f"root({found.code})", w.step.shown, found.perm)


FUNCTIONS["linalg_vector_norm"] = lambda w, x, ord=2, dim=None, keepdim=False: _norm(w, x, ord, dim, keepdim)  # noqa: A006


@function("normalize")
def _normalize(w: Writer, x: Value, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: Any = None) -> Value:
    if p != 2 or out is not None:
        raise w.refuse("normalize of another order, or into a tensor, has no correspondence")
    w.settle(x)
    norm = f"ops.sqrt(ops.sum(ops.square({x.code}), axis={x.place(dim)}, keepdims=True))"
    return w.like(x, f"{w.operand(x)} / ops.maximum({norm}, {eps})", bare=False)


@function("cumsum")
def _cumsum(w: Writer, x: Value, dim: int) -> Value:
    w.settle(x)
    return w.like(x, f"ops.cumsum({x.code}, axis={x.place(dim)})")


@function("softmax")
def _softmax(
    w: Writer, x: Value, dim: int = -1, dtype: Any = None, _stacklevel: int = 3, name: str = "softmax"
) -> Value:
    w.settle(x)
    if dtype is not None:
        x = cast(w, x, dtype)
    return w.like(x, f"ops.{name}({x.code}, axis={x.written_place(dim)})")


FUNCTIONS["log_softmax"] = lambda w, x, dim=-1, dtype=None, **_: _softmax(w, x, dim, dtype, name="log_softmax")

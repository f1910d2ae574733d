"""Functions that sort, repeat and pick."""

from __future__ import annotations

from typing import Any

from onnxpress.export.port.layout import Value, identity
from onnxpress.export.port.to_keras.registry import FUNCTIONS, function
from onnxpress.export.port.to_keras.reshaping import permute
from onnxpress.export.port.to_keras.writer import Writer


@function("sort")
def _sort(w: Writer, x: Value, dim: int = -1, descending: bool = False, stable: bool = False) -> Value:
    w.settle(x)
    axis = x.written_place(dim)
    code = f"ops.sort({x.code}, axis={axis})"
    if descending:
        code = f"ops.flip({code}, axis={axis})"
    values = Value(code, w.step.shown[0], x.perm)
    places = Value(_order(w, x, dim, descending), w.step.shown[1], x.perm)
    return Value("", w.step.shown, parts=[values, places])


@function("argsort")
def _argsort(w: Writer, x: Value, dim: int = -1, descending: bool = False, stable: bool = False) -> Value:
    w.settle(x)
    return w.like(x, _order(w, x, dim, descending))


def _order(w: Writer, x: Value, dim: int, descending: bool) -> str:
    given = x.code
    if descending and x.shown.dtype == "bool":
        given = f"ops.logical_not({x.code})"
    elif descending:
        given = f'-ops.cast({x.code}, "int32")' if x.shown.dtype == "uint8" else f"-{w.operand(x)}"
    return f'ops.cast(ops.argsort({given}, axis={x.written_place(dim)}), "int64")'


@function("one_hot")
def _one_hot(w: Writer, x: Value, num_classes: int = -1) -> Value:
    if num_classes < 0:
        raise w.refuse("one_hot without the number of classes has no correspondence")
    return w.result(f'ops.one_hot({w.plain(x).code}, {num_classes}, dtype="int64")')


@function("repeat_interleave")
def _repeat_interleave(w: Writer, x: Value, repeats: Any, dim: int | None = None, **_: Any) -> Value:
    if not isinstance(repeats, int) or dim is None:
        raise w.refuse("repeat_interleave by a tensor, or without an axis, has no correspondence")
    w.settle(x)
    return w.like(x, f"ops.repeat({x.code}, {repeats}, axis={x.written_place(dim)})")


@function("movedim")
def _movedim(w: Writer, x: Value, source: Any, destination: Any) -> Value:
    sources = [a % x.rank for a in (source if isinstance(source, tuple) else (source,))]
    targets = [a % x.rank for a in (destination if isinstance(destination, tuple) else (destination,))]
    left = iter(a for a in range(x.rank) if a not in sources)
    by_place = dict(zip(targets, sources, strict=True))
    return permute(w, x, *(by_place[n] if n in by_place else next(left) for n in range(x.rank)))


FUNCTIONS["moveaxis"] = FUNCTIONS["movedim"]


@function("select")
def _select(w: Writer, x: Value, dim: int, index: Any) -> Value:
    return FUNCTIONS["getitem"](w, x, (*([slice(None)] * (dim % x.rank)), index))


@function("narrow")
def _narrow(w: Writer, x: Value, dim: int, start: int, length: int) -> Value:
    if not isinstance(start, int) or not isinstance(length, int):
        raise w.refuse("narrow by sizes that vary has no correspondence")
    return FUNCTIONS["getitem"](w, x, (*([slice(None)] * (dim % x.rank)), slice(start, start + length)))


@function("outer")
def _outer(w: Writer, x: Value, vec2: Value) -> Value:
    a, b = w.made(x), w.made(vec2)
    return w.result(f"{w.operand(a)}[:, None] * {w.operand(b)}", identity(2), bare=False)


@function("count_nonzero")
def _count_nonzero(w: Writer, x: Value, dim: Any = None) -> Value:
    x = w.plain(x)
    axis = "" if dim is None else f", axis={dim}"
    return w.result(f'ops.cast(ops.count_nonzero({x.code}{axis}), "int64")')


@function("kthvalue")
def _kthvalue(w: Writer, x: Value, k: int, dim: int = -1, keepdim: bool = False) -> Value:
    w.settle(x)
    axis = x.place(dim)
    at = f"[{k - 1}:{k}]" if keepdim else f"[{k - 1}]"
    at = at if axis == 0 else f"[{', '.join([':'] * axis)}, {at[1:]}"
    left = x.perm if keepdim else tuple(a - (a > dim % x.rank) for a in x.perm if a != dim % x.rank)
    codes = (f"ops.sort({x.code}, axis={x.written_place(dim)}){at}", f"{_order(w, x, dim, False)}{at}")
    return Value("", w.step.shown, parts=[Value(c, s, left) for c, s in zip(codes, w.step.shown, strict=True)])


@function("median")
def _median(w: Writer, x: Value, dim: int | None = None, keepdim: bool = False) -> Value:
    if dim is None:
        raise w.refuse("a median without an axis has no correspondence")
    if (size := x.sizes[dim]) is None:
        raise w.refuse("a median over an axis whose size varies has no correspondence")
    return _kthvalue(w, x, (size + 1) // 2, dim, keepdim)


@function("cumprod")
def _cumprod(w: Writer, x: Value, dim: int) -> Value:
    w.settle(x)
    return w.like(x, f"ops.cumprod({x.code}, axis={x.place(dim)})")


@function("cdist")
def _cdist(w: Writer, x: Value, x2: Value, p: float = 2.0, **_: Any) -> Value:
    if p not in (1, 2):
        raise w.refuse(f"cdist of order {p} has no correspondence")
    a, b = w.plain(w.made(x)), w.plain(w.made(x2))
    apart = w.fresh("apart")
    w.lines.append(f"{apart} = ops.expand_dims({a.code}, -2) - ops.expand_dims({b.code}, -3)")
    if p == 1:
        return w.result(f"ops.sum(ops.abs({apart}), axis=-1)")
    return w.result(f"ops.sqrt(ops.sum(ops.square({apart}), axis=-1))")

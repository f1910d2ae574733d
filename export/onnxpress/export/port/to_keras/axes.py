"""Functions that move, cut, join and count axes; most change the layout alone."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from onnxpress.export.port.code import sliced, tuple_of
from onnxpress.export.port.layout import Value, flattened, identity, in_order
from onnxpress.export.port.steps import Ref, Step
from onnxpress.export.port.to_keras.reductions import axes_of
from onnxpress.export.port.to_keras.registry import FUNCTIONS, function
from onnxpress.export.port.to_keras.writer import Writer


def spread(given: tuple[Any, ...]) -> tuple[Any, ...]:
    """Sizes or axes that torch takes one by one as well as in a tuple."""
    return given[0] if len(given) == 1 and isinstance(given[0], tuple) else given


@function("permute")
def permute(w: Writer, x: Value, *dims: Any) -> Value:
    dims = spread(dims)
    w.settle(x)
    x = w.made(x)
    axes = [axis % x.rank for axis in dims]
    return Value(x.code, w.step.shown, tuple(axes.index(axis) for axis in x.perm), bare=x.bare)


@function("transpose")
def _transpose(w: Writer, x: Value, dim0: int, dim1: int) -> Value:
    axes = list(range(x.rank))
    axes[dim0], axes[dim1] = axes[dim1], axes[dim0]
    return permute(w, x, *axes)


FUNCTIONS["t"] = lambda w, x: _transpose(w, x, 0, 1)


def _target(w: Writer, sizes: tuple[Any, ...]) -> str:
    """The code of a shape. One size that varies is −1, as it follows from the others; what is known is a number."""
    known = w.step.shown.sizes
    varying = [n for n, size in enumerate(known) if size is None]
    free = next((n for n in varying if sizes[n] == -1), varying[0] if varying else None)
    shape = [
        str(size) if size is not None else "-1" if n == free else sizes[n].code if isinstance(sizes[n], Value) else "-1"
        for n, size in enumerate(known)
    ]
    return tuple_of(shape)


def _regrouped(x: Value, shown: Any) -> Value | None:
    """The layout of a reshape that joins neighbouring axes, or splits one, without moving data; None where it would.

    The value that is returned has the sizes in the order in which they lie, in place of code.
    """
    wide, narrow = (x.shown, shown) if x.rank > shown.rank else (shown, x.shown)
    for start in range(narrow.rank):
        end = start + wide.rank - narrow.rank
        both = ((wide.first, narrow.first), (wide.second, narrow.second))
        if all(
            a[:start] == b[:start] and a[end + 1 :] == b[start + 1 :] and math.prod(a[start : end + 1]) == b[start]
            for a, b in both
        ):
            break
    else:
        return None
    group = list(range(start, end + 1))
    if x.rank > shown.rank:
        places = [x.place(axis) for axis in group]
        if places != list(range(places[0], places[0] + len(group))):
            return None
        perm = [axis for axis in x.perm if axis not in group[1:]]
        return Value("", shown, tuple(axis - (len(group) - 1) * (axis > start) for axis in perm))
    found: list[int] = []
    for axis in x.perm:
        found += group if axis == start else [axis + (len(group) - 1) * (axis > start)]
    return Value("", shown, tuple(found))


@function("reshape")
def reshape(w: Writer, x: Value, *shape: Any) -> Value:
    sizes = spread(shape)
    x = w.made(x)
    if not in_order(x) or x.order is not None:
        if x.order is None and x.rank != w.step.shown.rank and w.step.shown.rank > 2:
            regrouped = _regrouped(x, w.step.shown)
            if regrouped is not None and sum(size is None for size in regrouped.sizes) <= 1:
                laid = (regrouped.sizes[axis] for axis in regrouped.perm)
                target = tuple_of("-1" if size is None else str(size) for size in laid)
                return w.result(f"ops.reshape({x.code}, {target})", regrouped.perm)
        merged = _merged(w, x)
        if merged is not None:
            return merged
        x = w.plain(x, "reshaped in the source's order of axes")
    if w.step.shown.sizes == x.sizes and None not in x.sizes[1:]:
        return w.result(x.code) if x.perm == identity(x.rank) else w.plain(x)
    return w.result(f"ops.reshape({x.code}, {_target(w, sizes)})")


def _merged(w: Writer, x: Value) -> Value | None:
    """All axes but the first as one, in the order in which they lie: the weights behind follow."""
    place = (w.path, w.step.number)
    sizes = x.sizes[1:]
    if w.step.shown.rank != 2 or place in w.shared.settled or None in sizes or x.perm[0] != 0 or x.order is not None:
        return None
    if w.step.shown.first[0] != x.shown.first[0]:
        return None
    order = flattened(tuple(s or 0 for s in sizes), tuple(axis - 1 for axis in x.perm[1:]))
    total = w.step.shown.first[1]
    return Value(f"ops.reshape({x.code}, (-1, {total}))", w.step.shown, (0, 1), order, place)


@function("flatten")
def flatten(w: Writer, x: Value, start_dim: int = 0, end_dim: int = -1) -> Value:
    start, end = start_dim % x.rank, end_dim % x.rank
    size: Any = -1
    known = x.sizes[start : end + 1]
    if None not in known:
        size = math.prod(s or 1 for s in known)
    lead = [axis_size(x, axis) for axis in range(start)]
    tail = [axis_size(x, axis) for axis in range(end + 1, x.rank)]
    return reshape(w, x, *lead, size, *tail)


def axis_size(x: Value, axis: int) -> Any:
    size = x.sizes[axis]
    if size is not None:
        return size
    both = (x.shown.first[axis], x.shown.second[axis])
    return Value(f"ops.shape({x.code})[{x.place(axis)}]", both, (), number=both)


@function("unflatten")
def unflatten(w: Writer, x: Value, dim: int, sizes: tuple[Any, ...]) -> Value:
    axis = dim % x.rank
    around = [axis_size(x, a) for a in range(x.rank)]
    sizes = tuple(
        w.step.shown.sizes[axis + n] if s == -1 and w.step.shown.sizes[axis + n] is not None else s
        for n, s in enumerate(sizes)
    )
    return reshape(w, x, *around[:axis], *sizes, *around[axis + 1 :])


@function("unsqueeze")
def _unsqueeze(w: Writer, x: Value, dim: int) -> Value:
    w.settle(x)
    x = w.made(x)
    axis = dim % (x.rank + 1)
    perm = [a + (a >= axis) for a in x.perm]
    if x.perm == identity(x.rank):
        perm.insert(axis, axis)
        place = axis
    else:
        place = next((n for n, a in enumerate(perm) if a > axis), len(perm))
        perm.insert(place, axis)
    return Value(f"ops.expand_dims({x.code}, {-1 if place == x.rank else place})", w.step.shown, tuple(perm))


@function("squeeze")
def _squeeze(w: Writer, x: Value, dim: Any = None) -> Value:
    w.settle(x)
    ones = [a for a in range(x.rank) if x.sizes[a] == 1]
    axes = ones if dim is None else [a for a in axes_of(x, dim) if a in ones]
    if not axes:
        return x
    left = [a for a in x.perm if a not in axes]
    shown = x.written_place(axes[0]) if len(axes) == 1 else tuple(sorted(x.place(a) for a in axes))
    return Value(f"ops.squeeze({x.code}, axis={shown})", w.step.shown, tuple(sorted(left).index(a) for a in left))


@function("expand")
def _expand(w: Writer, x: Value, *sizes: Any) -> Value:
    sizes = spread(sizes)
    x = w.plain(w.made(x))
    missing = len(sizes) - x.rank
    full = [(s if isinstance(s, Value) else (axis_size(x, n - missing) if s == -1 else s)) for n, s in enumerate(sizes)]
    if re.fullmatch(r"-?[\d.e+-]+", x.code):  # a number, which Keras would take for one of float32
        return FUNCTIONS["full"](w, full, float(x.code) if "." in x.code or "e" in x.code else int(x.code))
    return w.result(f"ops.broadcast_to({x.code}, {shape_of(full)})")


FUNCTIONS["expand_as"] = lambda w, x, other: _expand(w, x, *(axis_size(other, a) for a in range(other.rank)))
FUNCTIONS["reshape_as"] = lambda w, x, other: reshape(w, x, *(axis_size(other, a) for a in range(other.rank)))


def shape_of(sizes: Any) -> str:
    return tuple_of(size.code if isinstance(size, Value) else str(size) for size in sizes)


@function("repeat")
def _repeat(w: Writer, x: Value, *sizes: Any) -> Value:
    sizes = spread(sizes)
    x = w.plain(w.made(x))
    return w.result(f"ops.tile({x.code}, {shape_of(sizes)})")


def _joined(w: Writer, tensors: Any, dim: int, name: str) -> Value:
    tensors = [w.made(w.settle(t)) for t in tensors]
    lead = max(tensors, key=lambda v: v.perm != identity(v.rank))
    tensors = [w.in_layout(t, lead.perm, "joined in one order of axes") for t in tensors]
    items = ", ".join(t.code for t in tensors)
    if name == "stack":
        tensors = [w.plain(t) for t in tensors]
        items = ", ".join(t.code for t in tensors)
        axis = dim % (lead.rank + 1)
        return w.result(f"ops.stack([{items}], axis={-1 if axis == lead.rank else axis})")
    return w.result(f"ops.concatenate([{items}], axis={lead.written_place(dim)})", lead.perm)


FUNCTIONS["tile"] = FUNCTIONS["repeat"]
FUNCTIONS["cat"] = lambda w, tensors, dim=0: _joined(w, tensors, dim, "concatenate")
FUNCTIONS["stack"] = lambda w, tensors, dim=0: _joined(w, tensors, dim, "stack")


def _pieces(w: Writer, x: Value, dim: int, cuts: Any) -> Value:
    w.settle(x)
    parts = [Value("", shown, x.perm) for shown in w.step.shown]
    code = f"ops.split({x.code}, {cuts}, axis={x.written_place(dim)})"
    names = [w.fresh(v) if v else "" for v in unpacked(w, len(parts))]
    w.lines.append(f"{', '.join(names)} = {code}" if len(names) > 1 else f"({names[0]},) = {code}")
    for part, name in zip(parts, names, strict=True):
        part.code = name
    return Value(code, w.step.shown, parts=parts)


def unpacked(w: Writer, count: int) -> list[str]:
    """The names that the source gives to the pieces of this step."""
    names = [f"part_{n}" for n in range(count)]
    alike = {s.number for s in w.block.steps if s.kind == w.step.kind == "block" and _list(s) == _list(w.step)}
    pieces = [s for s in w.block.steps if s.kind == "function" and s.name == "getitem" and s.variables]
    # What nothing reads has the name that it has after the other blocks of a list, whose calls become a loop.
    for numbers in (alike, {w.step.number}):
        for piece in pieces:
            if isinstance(piece.args[0], Ref) and piece.args[0].number in numbers and isinstance(piece.args[1], int):
                names[piece.args[1]] = piece.variables[0]
    seen: set[str] = set()
    for n, name in enumerate(names):
        names[n] = name if name not in seen else f"{name}_{n}"
        seen.add(names[n])
    return names


def _list(step: Step) -> str:
    """The list that holds a block."""
    return step.name.rpartition(".")[0] or step.name


@function("split")
def _split(w: Writer, x: Value, split_size_or_sections: Any, dim: int = 0) -> Value:
    sizes = [shown.sizes[dim] for shown in w.step.shown]
    if len(set(sizes)) == 1:
        return _pieces(w, x, dim, len(sizes))
    if None in sizes:
        raise w.refuse("a split of an axis whose size varies has no correspondence")
    return _pieces(w, x, dim, [int(n) for n in np.cumsum(sizes)[:-1]])


FUNCTIONS["chunk"] = lambda w, x, chunks, dim=0: _split(w, x, chunks, dim)


@function("unbind")
def _unbind(w: Writer, x: Value, dim: int = 0) -> Value:
    x = w.plain(x)
    axis = dim % x.rank
    parts = []
    for n, shown in enumerate(w.step.shown):
        index = ", ".join([*[":"] * axis, str(n)])
        parts.append(Value(f"{w.operand(x)}[{index}]", shown, identity(shown.rank)))
    return Value("", w.step.shown, parts=parts)


@function("getitem")
def _getitem(w: Writer, x: Value, index: Any) -> Value:
    if x.parts is not None:
        part = x.parts[index]
        if part.parts is not None or part.items is not None:
            return part
        return Value(part.code, part.shown, part.perm, part.order, part.made_by, bare=part.bare)
    w.settle(x)
    x = w.made(x)
    if isinstance(index, int) and x.items is not None:
        return Value(x.items[index], w.step.shown, identity(w.step.shown.rank))
    index = index if isinstance(index, tuple) else (index,)
    if w.step.kind == "function" and any(isinstance(i, tuple) for i in index):
        return _at_places(w, x, index)
    if any(isinstance(i, Value) and i.number is None for i in index):
        return _picked(w, x, index)
    used = sum(i is not None and i is not Ellipsis for i in index)
    filled: list[Any] = []
    for i in index:
        filled += [slice(None)] * (x.rank - used) if i is Ellipsis else [i]
    filled += [slice(None)] * (x.rank - sum(i is not None for i in filled))
    if any(i is None for i in filled) and x.perm != identity(x.rank):
        x = w.plain(x)
    if any(i is None for i in filled):
        return w.result(f"{w.operand(x)}[{', '.join(_index(i) for i in _trimmed(filled))}]")
    physical = [filled[axis] for axis in x.perm]
    left = [axis for axis in x.perm if isinstance(filled[axis], slice)]
    perm = tuple(sorted(left).index(axis) for axis in left)
    if all(isinstance(i, slice) and i == slice(None) for i in physical):
        return x
    return w.result(f"{w.operand(x)}[{', '.join(_index(i) for i in _trimmed(physical))}]", perm)


def _trimmed(index: list[Any]) -> list[Any]:
    while len(index) > 1 and isinstance(index[-1], slice) and index[-1] == slice(None):
        index = index[:-1]
    return index


def _index(i: Any) -> str:
    if isinstance(i, Value):
        return i.code
    if not isinstance(i, slice):
        return repr(i)
    start, stop, step = ("" if v is None else _index(v) for v in (i.start, i.stop, i.step))
    return sliced(start, stop, step)


def _at_places(w: Writer, x: Value, index: tuple[Any, ...]) -> Value:
    """`x[:, [0, 2]]`."""
    axis = next(n for n, i in enumerate(index) if isinstance(i, tuple))
    if any(i != slice(None) for n, i in enumerate(index) if n != axis) or not all(
        isinstance(i, int) for i in index[axis]
    ):
        raise w.refuse("an index of places of several axes, or among slices, has no correspondence")
    places = [i % (x.sizes[axis] or i + 1) for i in index[axis]]
    return w.like(x, f"ops.take({x.code}, {places}, axis={x.written_place(axis)})")


def _picked(w: Writer, x: Value, index: tuple[Any, ...]) -> Value:
    tensors = [i for i in index if isinstance(i, Value)]
    if (
        len(tensors) != 1
        or tensors[0].shown.dtype == "bool"
        or any(not isinstance(i, Value) and i != slice(None) for i in index)
    ):
        raise w.refuse("an index of several tensors, or of a mask, has no correspondence")
    axis = next(n for n, i in enumerate(index) if isinstance(i, Value))
    return index_select(w, x, axis, tensors[0])


@function("index_select")
def index_select(w: Writer, x: Value, dim: int, index: Value) -> Value:
    x, index = w.plain(w.made(x)), w.plain(w.made(index))
    return w.result(f"ops.take({x.code}, {index.code}, axis={dim % x.rank})")


@function("gather")
def _gather(w: Writer, x: Value, dim: int, index: Value) -> Value:
    x, index = w.plain(x), w.plain(index)
    return w.result(f"ops.take_along_axis({x.code}, {index.code}, axis={dim % x.rank})")


@function("take_along_dim")
def _take_along_dim(w: Writer, x: Value, indices: Value, dim: int) -> Value:
    return _gather(w, w.made(x), dim, indices)


@function("flip")
def _flip(w: Writer, x: Value, *dims: Any) -> Value:
    dims = spread(dims)
    w.settle(x)
    return w.like(x, f"ops.flip({x.code}, axis={tuple(x.place(a) for a in dims)})")


@function("roll")
def _roll(w: Writer, x: Value, shifts: Any, dims: Any) -> Value:
    w.settle(x)
    places = tuple(x.place(a) for a in dims) if isinstance(dims, tuple) else x.place(dims)
    return w.like(x, f"ops.roll({x.code}, {shifts}, axis={places})")


@function("pad")
def _pad(w: Writer, x: Value, pad: Any, mode: str = "constant", value: Any = None) -> Value:
    w.settle(x)
    if mode not in ("constant", "reflect") or any(not isinstance(p, int) or p < 0 for p in pad):
        raise w.refuse(f"padding of mode {mode!r}, a negative one, or one that varies has no correspondence")
    widths = [(0, 0)] * x.rank
    for n in range(len(pad) // 2):
        widths[x.rank - 1 - n] = (pad[2 * n], pad[2 * n + 1])
    extra = f', mode="{mode}"' if mode != "constant" else (f", constant_values={value}" if value else "")
    return w.like(x, f"ops.pad({x.code}, {tuple(widths[axis] for axis in x.perm)}{extra})")


@function("topk")
def _topk(w: Writer, x: Value, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Value:  # noqa: A002
    x = w.plain(x)
    if dim % x.rank != x.rank - 1 or not largest:
        raise w.refuse("topk over another axis than the last, or of the smallest, has no correspondence")
    names = [w.fresh(n) for n in ("values", "indices")]
    w.lines.append(f"{', '.join(names)} = ops.top_k({x.code}, {k})")
    return Value(
        "", w.step.shown, parts=[Value(n, s, identity(s.rank)) for n, s in zip(names, w.step.shown, strict=True)]
    )

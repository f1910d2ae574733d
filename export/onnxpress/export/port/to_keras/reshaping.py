"""Functions that give a value another shape or order of axes, without moving its data where that can be."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

from onnxpress.export.port.code import tuple_of
from onnxpress.export.port.layout import Value, channels_last, flattened, identity, in_order
from onnxpress.export.port.steps import Shown
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
    if _is_of_channels(w.step.shown) and x.rank == 2:
        target = tuple_of(["-1", *["1"] * (w.step.shown.rank - 2), str(w.step.shown.first[1])])
        return w.result(f"ops.reshape({x.code}, {target})", channels_last(w.step.shown.rank))
    found = w.result(f"ops.reshape({x.code}, {_target(w, sizes)})")
    found.reshaped = x.whole
    return found


def _is_of_channels(shown: Shown) -> bool:
    """Whether it is a value for each channel of images: rows, channels, and axes of 1."""
    _, channels, *rest = shown.sizes if shown.rank > 3 else (1, 1)
    return channels not in (None, 1) and bool(rest) and set(rest) == {1}


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


@function("expand")
def _expand(w: Writer, x: Value, *sizes: Any) -> Value:
    sizes = spread(sizes)
    x = w.made(x)
    missing = len(sizes) - x.rank
    x = w.plain(x) if missing else w.settle(x)
    if "(" in x.code and any(size == -1 and x.sizes[n - missing] is None for n, size in enumerate(sizes)):
        name = w.beside("x")  # read twice: its size, and itself
        w.lines.append(f"{name} = {x.code}")
        x = dataclasses.replace(x, code=name, bare=True)
    full = [(s if isinstance(s, Value) else (axis_size(x, n - missing) if s == -1 else s)) for n, s in enumerate(sizes)]
    if re.fullmatch(r"-?[\d.e+-]+", x.code):  # a number, which Keras would take for one of float32
        return FUNCTIONS["full"](w, full, float(x.code) if "." in x.code or "e" in x.code else int(x.code))
    perm = identity(len(full)) if missing else x.perm
    return w.result(f"ops.broadcast_to({x.code}, {shape_of([full[axis] for axis in perm])})", perm)


FUNCTIONS["expand_as"] = lambda w, x, other: _expand(w, x, *(axis_size(other, a) for a in range(other.rank)))
FUNCTIONS["reshape_as"] = lambda w, x, other: reshape(w, x, *(axis_size(other, a) for a in range(other.rank)))


def shape_of(sizes: Any) -> str:
    return tuple_of(size.code if isinstance(size, Value) else str(size) for size in sizes)


@function("repeat")
def _repeat(w: Writer, x: Value, *sizes: Any) -> Value:
    sizes = spread(sizes)
    x = w.plain(w.made(x))
    return w.result(f"ops.tile({x.code}, {shape_of(sizes)})")


FUNCTIONS["tile"] = FUNCTIONS["repeat"]

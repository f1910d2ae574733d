"""Functions that move, cut, join and count axes; most change the layout alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxpress.export.port.code import sliced
from onnxpress.export.port.layout import Value, identity
from onnxpress.export.port.steps import Ref, Step
from onnxpress.export.port.to_keras.reductions import axes_of
from onnxpress.export.port.to_keras.registry import FUNCTIONS, function
from onnxpress.export.port.to_keras.reshaping import spread
from onnxpress.export.port.to_keras.writer import Writer


@function("unsqueeze")
def _unsqueeze(w: Writer, x: Value, dim: int) -> Value:
    w.settle(x)
    x = w.made(x)
    perm, place = _with_axis(x, dim % (x.rank + 1))
    found = w.result(f"ops.expand_dims({x.code}, {-1 if place == x.rank else place})", perm)
    found.reshaped = x.whole
    return found


def _with_axis(x: Value, axis: int) -> tuple[tuple[int, ...], int]:
    """The layout of x with a new axis, and where that lies."""
    perm = [a + (a >= axis) for a in x.perm]
    place = axis if x.perm == identity(x.rank) else next((n for n, a in enumerate(perm) if a > axis), len(perm))
    return (*perm[:place], axis, *perm[place:]), place


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


def _joined(w: Writer, tensors: Any, dim: int, name: str) -> Value:
    tensors = [w.made(w.settle(t)) for t in tensors]
    lead = max(tensors, key=lambda v: v.perm != identity(v.rank))
    tensors = [w.in_layout(t, lead.perm, "joined in one order of axes") for t in tensors]
    items = ", ".join(t.code for t in tensors)
    if name == "stack":
        perm, place = _with_axis(lead, dim % (lead.rank + 1))
        return w.result(f"ops.stack([{items}], axis={-1 if place == lead.rank else place})", perm)
    return w.result(f"ops.concatenate([{items}], axis={lead.written_place(dim)})", lead.perm)


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
        return Value(part.code, part.shown, part.perm, part.order, part.made_by, bare=part.bare, mask=part.mask)
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
        found = w.result(f"{w.operand(x)}[{', '.join(_index(i) for i in _trimmed(filled))}]")
        found.reshaped = x.whole if all(i in (None, slice(None)) for i in filled) else ""
        return found
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
    if (cut := index.index(Ellipsis) if Ellipsis in index else None) is not None:
        index = (*index[:cut], *[slice(None)] * (x.rank - len(index) + 1), *index[cut + 1 :])
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


@function("topk")
def _topk(w: Writer, x: Value, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Value:  # noqa: A002
    w.settle(x)
    last = dim % x.rank
    perm = (*(axis for axis in x.perm if axis != last), last)
    x = w.in_layout(x, perm, "the greatest are sought along the last axis")
    names = [w.fresh(n) for n in ("values", "indices")]
    given = x.code if largest else f"-{w.operand(x)}"
    w.lines.append(f"{', '.join(names)} = ops.top_k({given}, {k})")
    codes = [names[0] if largest else f"-{names[0]}", names[1]]
    if w.meets_tensors():
        codes[1] = f'ops.cast({names[1]}, "int64")'
    return Value("", w.step.shown, parts=[Value(c, s, perm) for c, s in zip(codes, w.step.shown, strict=True)])

"""Values put at some places of another: items that are assigned, scatter. What stays is joined with what is new."""

from __future__ import annotations

from typing import Any

from onnxpress.export.port.code import literal, sliced
from onnxpress.export.port.layout import Value
from onnxpress.export.port.steps import Shown
from onnxpress.export.port.to_keras.elementwise import cast
from onnxpress.export.port.to_keras.registry import FUNCTIONS, function
from onnxpress.export.port.to_keras.writer import Writer


@function("setitem")
def _setitem(w: Writer, x: Value, key: Any, value: Any) -> Value:
    """A copy of x with `value` at x[key]."""
    x = w.settle(w.made(x))
    value = w.made(value) if isinstance(value, Value) else value
    index = list(key) if isinstance(key, tuple) else [key]
    if any(isinstance(one, tuple) or (isinstance(one, Value) and one.number is None) for one in index):
        return _at_tensor(w, x, index, value)
    if any(one is None or isinstance(one, bool) for one in index):
        raise w.refuse("an assignment to an item with a new axis has no correspondence")
    if Ellipsis in index:
        place = index.index(Ellipsis)
        index[place : place + 1] = [slice(None)] * (x.rank - len(index) + 1)
    index += [slice(None)] * (x.rank - len(index))
    cuts = [
        slice(one.start or None, one.stop, one.step) if isinstance(one, slice) else _one_place(one, size)
        for one, size in zip(index, x.sizes, strict=True)
    ]
    if any(cut.step not in (None, 1) for cut in cuts):
        return _by_steps(w, x, cuts, value)
    dropped = [axis for axis, one in enumerate(index) if not isinstance(one, slice)]
    region = _region(w, x, cuts)
    if isinstance(value, Value) and not _fits(region, value, dropped):
        x = w.plain(x)
        region = _region(w, x, cuts)
    inner = _as_region(w, region, value, dropped)
    limited = [(x.place(axis), cut) for axis, cut in enumerate(cuts) if not _is_whole(cut, x.sizes[axis])]
    return w.like(x, _joined(w, x.code, sorted(limited, key=lambda one: one[0]), x.rank, inner))


def _one_place(number: Any, size: int | None) -> slice:
    """The slice that holds one index alone."""
    if isinstance(number, Value):
        return slice(number, Value(f"{number.code} + 1", number=number.number, bare=False), None)
    if number == -1 and size is None:
        return slice(-1, None)
    number = number if size is None or number >= 0 else number + size
    return slice(number or None, number + 1)


def _is_whole(cut: slice, size: int | None) -> bool:
    return cut.start in (None, 0) and (cut.stop is None or (size is not None and cut.stop == size))


def _code(bound: Any) -> str:
    return "" if bound is None else bound.code if isinstance(bound, Value) else str(bound)


def _part(code: str, place: int, start: Any, stop: Any) -> str:
    bare = code if code.replace(".", "").replace("_", "").isalnum() else f"({code})"
    return f"{bare}[{', '.join([*[':'] * place, sliced(_code(start), _code(stop))])}]"


def _region(w: Writer, x: Value, cuts: list[slice]) -> Value:
    """What is replaced, as it is before."""
    if not any(not _is_whole(cut, size) for cut, size in zip(cuts, x.sizes, strict=True)):
        return x
    laid = [
        ":" if _is_whole(cuts[a], x.sizes[a]) else sliced(_code(cuts[a].start), _code(cuts[a].stop)) for a in x.perm
    ]
    while laid[-1] == ":":
        laid.pop()
    sizes = [tuple(_size(cut, number, which) for cut, number in zip(cuts, shape, strict=True))
             for which, shape in enumerate((x.shown.first, x.shown.second))]  # fmt: skip
    return Value(f"{w.operand(x)}[{', '.join(laid)}]", Shown(sizes[0], sizes[1], x.shown.dtype), x.perm)


def _size(cut: slice, size: int, which: int) -> int:
    start, stop = (b.number[which] if isinstance(b, Value) else b for b in (cut.start, cut.stop))
    return len(range(*slice(start, stop).indices(size)))


def _fits(region: Value, value: Value, dropped: list[int]) -> bool:
    """Whether the value has every axis of the region, each as long, so that its axes can lie as the region's."""
    kept = [axis for axis in range(region.rank) if axis not in dropped]
    return value.rank == len(kept) and [region.sizes[a] for a in kept] == list(value.sizes) and value.rank > 0


def _as_region(w: Writer, region: Value, value: Any, dropped: list[int]) -> str:
    """The new values, in the region's shape and layout."""
    if not isinstance(value, Value):
        return _filled(region, value)
    if value.shown.dtype != region.shown.dtype:
        value = cast(w, value, region.shown.dtype)
    if not value.rank:
        return f"ops.broadcast_to({value.code}, ops.shape({region.code}))"
    if _fits(region, value, dropped):
        kept = [axis for axis in region.perm if axis not in dropped]
        code = w.in_layout(value, tuple(sorted(kept).index(axis) for axis in kept), "both in one order of axes").code
        for place in sorted(region.place(axis) for axis in dropped):
            code = f"ops.expand_dims({code}, {place})"
        return code
    code = w.plain(value).code
    kept = [axis for axis in range(region.rank) if axis not in dropped][-value.rank :]
    for axis in (axis for axis in dropped if axis > kept[0]):
        code = f"ops.expand_dims({code}, {axis - region.rank})"
    return f"ops.broadcast_to({code}, ops.shape({region.code}))"


def _filled(region: Value, number: Any) -> str:
    if number == 0:
        return f"ops.zeros_like({region.code})"
    if number == 1:
        return f"ops.ones_like({region.code})"
    return f"ops.full_like({region.code}, {literal(number)})"


def _joined(w: Writer, code: str, limited: list[tuple[int, slice]], rank: int, inner: str) -> str:
    """`code` with what lies between the bounds of every limited place replaced by `inner`."""
    if not limited:
        return inner
    (place, cut), *rest = limited
    if rest:
        part = w.beside("part")
        w.lines.append(f"{part} = {_part(code, place, cut.start, cut.stop)}")
        inner = _joined(w, part, rest, rank, inner)
    pieces = [inner]
    if cut.start not in (None, 0):
        pieces.insert(0, _part(code, place, None, cut.start))
    if cut.stop is not None:
        pieces.append(_part(code, place, cut.stop, None))
    axis = -1 if place == rank - 1 else place
    return f"ops.concatenate([{', '.join(pieces)}], axis={axis})" if len(pieces) > 1 else inner


def _by_steps(w: Writer, x: Value, cuts: list[slice], value: Any) -> Value:
    """`x[:, ::2] = 0`."""
    stepped = [axis for axis, cut in enumerate(cuts) if not _is_whole(cut, x.sizes[axis]) or cut.step not in (None, 1)]
    axis = stepped[0]
    size, cut = x.sizes[axis], cuts[axis]
    if len(stepped) > 1 or size is None or (isinstance(value, Value) and value.rank):
        raise w.refuse("an assignment of several values to every n-th item has no correspondence", "use torch.where")
    chosen = range(*cut.indices(size))
    asked = [f"ops.arange({size}) % {cut.step} == {chosen.start % cut.step}"] if cut.step > 0 and chosen else []
    if not asked or chosen.start >= cut.step or chosen[-1] + cut.step < size:
        raise w.refuse("an assignment to every n-th item of a part has no correspondence", "use torch.where")
    return w.like(x, f"ops.where({_along(asked[0], x, axis)}, {_scalar(value)}, {x.code})")


def _along(code: str, x: Value, axis: int) -> str:
    """A mask of one axis, so that it is broadcast along that of x."""
    behind = x.rank - 1 - x.place(axis)
    return code if not behind else f"({code})[{', '.join([':'] + ['None'] * behind)}]"


def _scalar(value: Any) -> str:
    return value.code if isinstance(value, Value) else literal(value)


def _at_tensor(w: Writer, x: Value, index: list[Any], value: Any) -> Value:
    """`x[mask] = 0`, `x[:, places] = 0`."""
    tensors = [one for one in index if isinstance(one, Value | tuple)]
    is_one = not isinstance(value, Value) or not value.rank
    tensor = tensors[0]
    if len(tensors) > 1 or any(one != slice(None) for one in index if not isinstance(one, Value | tuple)):
        raise w.refuse("an assignment to places of several axes has no correspondence", "use scatter or torch.where")
    axis = index.index(tensor)
    if not is_one:
        raise w.refuse("an assignment of several values to places has no correspondence", "use torch.where, or scatter")
    if isinstance(tensor, tuple):
        places = literal([one % (x.sizes[axis] or one + 1) for one in tensor])
        asked = f"ops.any(ops.equal(ops.arange({x.sizes[axis]})[:, None], {places}), axis=-1)"
        return w.like(x, f"ops.where({_along(asked, x, axis)}, {_scalar(value)}, {x.code})")
    if tensor.shown.dtype == "bool":
        x, mask = w.plain(x), w.plain(w.made(tensor))
        behind = x.rank - axis - mask.rank
        asked = f"{w.operand(mask)}[{', '.join(['...'] + ['None'] * behind)}]" if behind else mask.code
        return w.result(f"ops.where({asked}, {_scalar(value)}, {x.code})")
    if tensor.rank != 1 or x.sizes[axis] is None:
        raise w.refuse("an assignment to such places has no correspondence", "use scatter")
    asked = f"ops.any(ops.equal(ops.arange({x.sizes[axis]})[:, None], {w.made(tensor).code}), axis=-1)"
    return w.like(x, f"ops.where({_along(asked, x, axis)}, {_scalar(value)}, {x.code})")


@function("fill")
def _fill(w: Writer, x: Value, value: Any) -> Value:
    x = w.made(x)
    return w.like(x, _filled(x, value) if not isinstance(value, Value) else f"ops.full_like({x.code}, {value.code})")


FUNCTIONS["zero"] = lambda w, x: _fill(w, x, 0)


@function("copy")
def _copy(w: Writer, x: Value, src: Value, non_blocking: bool = False) -> Value:
    return _setitem(w, x, Ellipsis, src)


@function("index_fill")
def _index_fill(w: Writer, x: Value, dim: int, index: Value, value: Any) -> Value:
    return _setitem(w, x, (*[slice(None)] * (dim % x.rank), index), value)


@function("scatter")
def _scatter(
    w: Writer, x: Value, dim: int, index: Value, src: Any = None, value: Any = None, reduce: Any = None
) -> Value:
    """At the places along `dim` that `index` says; of several values for one place the last counts."""
    if reduce is not None:
        raise w.refuse("scatter with reduce has no correspondence", "use scatter_add")
    x, index, axis = _asked(w, x, dim, index)
    new = value if src is None else src
    if not isinstance(new, Value):
        named = f"ops.any({_named(x, index, axis)}, axis={axis + 1})"
        return w.result(f"ops.where({named}, {literal(new)}, {x.code})")
    w.shared.helpers.add("scattered")
    return w.result(f"scattered({x.code}, {index.code}, {_source(w, index, new).code}, axis={axis})")


@function("scatter_add")
def _scatter_add(w: Writer, x: Value, dim: int, index: Value, src: Value) -> Value:
    x, index, axis = _asked(w, x, dim, index)
    new = w.operand(w.made(_source(w, index, src)))
    given = f"ops.expand_dims({new}, {axis})"
    added = f"ops.sum(ops.where({_named(x, index, axis)}, {given}, 0.0), axis={axis + 1})"
    zero = w.step.args[0]
    return w.result(added if _is_zeros(w, zero) else f"{w.operand(x)} + {added}", bare=_is_zeros(w, zero))


def _is_zeros(w: Writer, ref: Any) -> bool:
    step = next((one for one in w.block.steps if one.number == getattr(ref, "number", None)), None)
    return step is not None and step.kind == "function" and step.name in ("zeros", "zeros_like", "new_zeros")


def _asked(w: Writer, x: Value, dim: int, index: Value) -> tuple[Value, Value, int]:
    x, index, axis = w.plain(w.made(x)), w.plain(w.made(index)), dim % x.rank
    others = [a for a in range(x.rank) if a != axis]
    if x.sizes[axis] is None or any(x.sizes[a] != index.sizes[a] for a in others) or index.rank != x.rank:
        raise w.refuse("scatter of an index with other sizes, or along an axis that varies, has no correspondence")
    return x, index, axis


def _source(w: Writer, index: Value, src: Value) -> Value:
    src = w.plain(w.made(src))
    if src.sizes != index.sizes:
        raise w.refuse("scatter of more values than places has no correspondence")
    return src


def _named(x: Value, index: Value, axis: int) -> str:
    """Whether each place of x is that of each index: an axis more, behind `axis`."""
    places = f"ops.arange({x.sizes[axis]})[{', '.join([':'] + ['None'] * (x.rank - axis))}]"
    return f"ops.equal(ops.expand_dims({index.code}, {axis}), {places})"

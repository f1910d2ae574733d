"""Operators that move values without computing: their rows are found again in the other shape.

A reshape keeps the order of all values. Before it each row's values stand in `before` blocks of `behind` values, with
the blocks of the other rows between them; the rows are still rows where some axis of the new shape counts just so.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

from onnxpress.core.rows import ragged
from onnxpress.core.rows.broadcasting import stretched
from onnxpress.core.rows.call import Call, rule
from onnxpress.core.rows.sizes import Size, exact, positive, product, without
from onnxpress.core.rows.values import FREE, Element, Rows, Shape, Value


def moved(call: Call, number: int = 0) -> Value:
    """An input of which only the places are used: row numbers stay what they are."""
    value = call.value(number)
    return value if value.numbers is not None and value.numbers.column is None else call.data(number)


def reshaped(call: Call, value: Value, shape: Shape) -> Value:
    """The value in another shape of as many values."""
    if value.rows is None:
        if any(call.depends(size) for size in shape):
            raise call.refused("the number of rows is in the shape of a value that has none")
        return Value(shape, None, value.taint, value.elements, below=value.below)
    old, rows = call.shape(value), value.rows
    before = product(old[: rows.axis]) * rows.outer
    behind = rows.inner * product(old[rows.axis + 1 :])
    found = [axis for axis, size in enumerate(shape) if call.depends(size)]
    if len(found) == 1:
        axis = found[0]
        inside = without(shape[axis], call.symbols.batch)
        outer = exact(before, product(shape[:axis]))
        inner = None if outer is None or inside is None else exact(inside, outer)
        if outer is not None and inner is not None and inner * product(shape[axis + 1 :]) == behind:
            return value.shaped(shape, Rows(axis, outer, inner))
    raise call.refused(f"it moves values between rows: {_told(old)} becomes {_told(shape)}")


def _told(shape: Shape) -> str:
    return f"[{', '.join(map(str, shape))}]"


@rule("Shape")
def _shape(call: Call) -> Value:
    value = call.value(0)
    if value.ragged is not None:
        return _ragged_shape(call, value)
    if value.shape is None:
        if value.free:
            return FREE
        raise call.refused("an input's shape is not known")
    rank = len(value.shape)
    start, end = call.integer("start", 0), call.integer("end", rank)
    start, end = (min(max(at + rank if at < 0 else at, 0), rank) for at in (start, end))
    sizes = value.shape[start : max(start, end)]
    return call.sized(sizes, (len(sizes),))


def _ragged_shape(call: Call, value: Value) -> Value:
    """Only the number of rows is known, and the constant ones behind them."""
    if call.integer("start", 0) != 0 or call.integer("end", 99) != 1 or value.ragged is None:
        raise call.refused("the length of the longest row of the batch is used", definite=True)
    return call.sized((call.symbols.rows + value.ragged.tail,), (1,))


@rule("Size")
def _size(call: Call) -> Value:
    value = call.value(0)
    if value.shape is None or value.ragged is not None:
        raise call.refused("an input's shape is not known")
    return call.sized((product(value.shape),), ())


@rule("Reshape")
def _reshape(call: Call) -> Value:
    value = moved(call) if call.value(0).elements is None else call.value(0)
    if not call.given(1) and (fixed := call.ints("shape")) is not None:
        wanted: tuple[Element, ...] | None = fixed
    else:
        wanted = call.elements(1, "the new shape")
    if wanted is None:
        if value.free:
            return FREE
        raise call.refused("the new shape is not known")
    shape = _resolved(call, value, wanted, call.integer("allowzero", 0) != 0)
    return reshaped(call, value, shape)


def _resolved(call: Call, value: Value, wanted: Sequence[Element], allow_zero: bool) -> Shape:
    """The sizes meant: 0 takes over the old one, -1 and a size that is not known are what is left."""
    sizes: list[Size] = []
    open_axis = None
    for axis, element in enumerate(wanted):
        if element == 0 and not allow_zero:
            old = call.shape(value)
            if axis >= len(old):
                raise call.refused("the new shape takes over an axis that is not there")
            sizes.append(old[axis])
        elif isinstance(element, bool | float | str) or element is None or element == -1 or not positive(element):
            # What may be 0 or -1 is one of the two: it has to be what is left, whichever way it is written.
            if open_axis is not None:
                if value.free and not any(map(call.counts, wanted)):
                    return tuple(call.fresh() if size is None else size for size in _sizes(wanted))
                raise call.refused("two sizes of the new shape are not known")
            open_axis = axis
            sizes.append(1)
        else:
            sizes.append(element)
    if open_axis is not None:
        left = None if value.shape is None else exact(product(value.shape), product(sizes))
        if left is None:
            if not value.free or any(map(call.depends, sizes)):
                raise call.refused("the size left open is not a product of sizes")
            left = call.fresh()
        sizes[open_axis] = left
    return tuple(sizes)


def _sizes(wanted: Sequence[Element]) -> list[Size | None]:
    return [
        element if isinstance(element, int) and element > 0 and not isinstance(element, bool) else None
        for element in wanted
    ]


@rule("Flatten")
def _flatten(call: Call) -> Value:
    if call.value(0).ragged is not None and call.rank(call.value(0)) == 2 and call.integer("axis", 1) == 1:
        return call.value(0)
    value = moved(call)
    shape = call.shape(value)
    axis = call.integer("axis", 1)
    axis = axis + len(shape) if axis < 0 else axis
    return reshaped(call, value, (product(shape[:axis]), product(shape[axis:])))


@rule("Transpose")
def _transpose(call: Call) -> Value:
    value = call.value(0) if call.value(0).elements is not None else moved(call)
    shape = call.shape(value)
    order = call.ints("perm")
    if order is None:
        order = tuple(reversed(range(len(shape))))
    if sorted(order) != list(range(len(shape))):
        raise call.refused("its order of axes is none")
    rows = None if value.rows is None else value.rows.at(order.index(value.rows.axis))
    moved_to = value.shaped([shape[axis] for axis in order], rows)
    if value.elements is None or len(shape) < 2:
        return moved_to
    return replace(moved_to, elements=_turned(value.elements, shape, order))


def _turned(elements: tuple[Element, ...], shape: Shape, order: Sequence[int]) -> tuple[Element, ...]:
    """The elements of a small tensor in the order that they have after a transpose."""
    sizes = [size for size in shape if isinstance(size, int)]
    strides = [math.prod(sizes[axis + 1 :]) for axis in range(len(sizes))]
    places = itertools.product(*(range(sizes[axis]) for axis in order))
    return tuple(elements[sum(at * strides[axis] for at, axis in zip(place, order, strict=True))] for place in places)


def _axes(call: Call) -> tuple[int, ...] | None:
    """Of Squeeze and Unsqueeze: an attribute, and from opset 13 an input."""
    return call.constants(1, "axes") if call.given(1) else call.ints("axes")


@rule("Unsqueeze")
def _unsqueeze(call: Call) -> Value:
    value = call.value(0) if call.value(0).elements is not None else moved(call)
    shape, axes = call.shape(value), _axes(call)
    if axes is None:
        raise call.refused("its axes are missing")
    rank = len(shape) + len(axes)
    new = {call.axis(axis, rank) for axis in axes}
    kept = [axis for axis in range(rank) if axis not in new]
    if len(kept) != len(shape):
        raise call.refused("its axes are not distinct")
    sizes: list[Size] = [1] * rank
    for axis, size in zip(kept, shape, strict=True):
        sizes[axis] = size
    return value.shaped(sizes, None if value.rows is None else value.rows.at(kept[value.rows.axis]))


@rule("Squeeze")
def _squeeze(call: Call) -> Value:
    value = call.value(0) if call.value(0).elements is not None else moved(call)
    shape, axes = call.shape(value), _axes(call)
    if axes is None:
        if not all(isinstance(size, int) for size in shape):
            raise call.refused("without axes, a batch of one row loses its axis too")
        axes = tuple(axis for axis, size in enumerate(shape) if size == 1)
    gone = {call.axis(axis, len(shape)) for axis in axes}
    if value.rows is not None and value.rows.axis in gone:
        raise call.refused("only a batch of one row can lose its axis")
    kept = [axis for axis in range(len(shape)) if axis not in gone]
    rows = None if value.rows is None else value.rows.at(kept.index(value.rows.axis))
    return value.shaped([shape[axis] for axis in kept], rows)


@rule("Expand")
def _expand(call: Call) -> Value:
    value = moved(call)
    wanted = call.elements(1, "the new shape")
    if value.shape is None or wanted is None:
        if value.free and not any(map(call.counts, wanted or ())):
            return FREE
        raise call.refused("the new shape is not known")
    rank = max(len(value.shape), len(wanted))
    old = (1,) * (rank - len(value.shape)) + value.shape
    target = (1,) * (rank - len(wanted)) + tuple(wanted)
    rows = None if value.rows is None else value.rows.at(value.rows.axis + rank - len(value.shape))
    if (filled := ragged.fills(call, value, target)) is not None:
        return filled
    sizes: list[Size] = []
    for axis, (size, new) in enumerate(zip(old, target, strict=True)):
        if rows is not None and axis == rows.axis:
            if new not in (1, size):
                raise call.refused("the rows are stretched to another size")
            sizes.append(size)
        elif new is None or isinstance(new, bool | float | str) or (isinstance(new, int) and new < 1):
            sizes.append(call.fresh() if not isinstance(size, int) or size == 1 else size)
        elif call.depends(new):
            rows = _copied(call, rows, axis, size, new)
            sizes.append(new)
        else:
            sizes.append(stretched(call, size, new))
    return replace(value, shape=tuple(sizes), rows=rows, elements=_repeated(value, sizes))


def _repeated(value: Value, sizes: Sequence[Size]) -> tuple[Element, ...] | None:
    """The elements of one that is copied into a small tensor."""
    count = product(sizes)
    if value.elements is None or len(value.elements) != 1 or not isinstance(count, int) or not 0 < count <= 64:
        return None
    return value.elements * count


def _copied(call: Call, rows: Rows | None, axis: int, size: Size, count: Size) -> Rows:
    """The rows that stretching an axis of size 1 to a multiple of the number of rows makes: all are equal."""
    inside = without(count, call.symbols.batch)
    if rows is not None:
        raise call.mixed("every row with every row")
    if size != 1 or inside is None:
        raise call.refused("the number of rows is in the shape of a value that has none")
    return Rows(axis, 1, inside)


@rule("Tile")
def _tile(call: Call) -> Value:
    value = moved(call)
    shape, repeats = call.shape(value), call.elements(1, "repeats")
    if repeats is None:
        repeats = (None,) * len(shape)
    if len(repeats) != len(shape):
        raise call.refused("its repeats do not fit the axes")
    rows, sizes = value.rows, list(shape)
    for axis, count in enumerate(repeats):
        times: Size = call.fresh() if count is None or isinstance(count, bool | float | str) else count
        if call.depends(times):
            inside = without(times, call.symbols.batch)
            if rows is not None or inside is None:
                raise call.mixed("every row with every row")
            rows = Rows(axis, 1, inside * shape[axis])
        elif rows is not None and axis == rows.axis:
            rows = Rows(axis, times * rows.outer, rows.inner)
        sizes[axis] = times * shape[axis]
    return replace(value, shape=tuple(sizes), rows=rows, elements=_repeated(value, sizes))


@rule("DepthToSpace", "SpaceToDepth")
def _blocks(call: Call) -> Value:
    value = call.data(0)
    shape, block = call.shape(value), call.integer("blocksize", 1)
    rows = call.only_axis(value, 0)
    if len(shape) != 4 or block < 1:
        raise call.refused("it is not an image")
    deep = call.node.operator == "DepthToSpace"
    area = exact(shape[1], block * block) if deep else shape[1] * (block * block)
    sides = [size * block if deep else exact(size, block) for size in shape[2:]]
    found = [call.fresh() if size is None else size for size in (area, *sides)]
    return Value((shape[0], *found), rows)

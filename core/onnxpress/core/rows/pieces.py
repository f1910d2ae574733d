"""Operators that put tensors together and take them apart along an axis.

Along an axis without rows this leaves every row whole. Along the axis of the rows, whole multiples of the batch may be
put behind each other and taken apart again: the axis then counts (copy, row, inner).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from onnxpress.core.rows import ragged
from onnxpress.core.rows.call import Call, rule
from onnxpress.core.rows.layout import moved
from onnxpress.core.rows.sizes import Polynomial, Size, exact, positive, product, without
from onnxpress.core.rows.values import FREE, Element, Numbers, Rows, Value

_ENDLESS = 2**31 - 1
"""what exporters write for the end of an axis, or more"""


@rule("Concat")
def _concat(call: Call) -> Value:
    if all(value is not None and value.elements is not None for value in call.inputs):
        return _concatenated(call)
    if any(value is not None and value.ragged is not None for value in call.inputs):
        parts = [call.value(number) for number in range(len(call.inputs))]
        return ragged.joined(call, parts, call.axis(call.integer("axis", 0), 2))
    values = [moved(call, number) for number in range(len(call.inputs))]
    shapes = [value.shape for value in values]
    first = shapes[0]
    if first is None or any(shape is None or len(shape) != len(first) for shape in shapes):
        if all(value.free for value in values):
            return FREE
        raise call.refused("an input's rank is not known")
    axis = call.axis(call.integer("axis", 0), len(first))
    rows: Rows | None = next((value.rows for value in values if value.rows is not None), None)
    if rows is None:
        return Value(_joined(call, values, axis))
    if any(value.rows is None for value in values):
        if (extended := ragged.with_tail(call, values, axis)) is not None:
            return extended
        raise call.refused("a part that has no rows is put beside them")
    others = [value.rows for value in values if value.rows is not None]
    if any(other.axis != rows.axis for other in others):
        raise call.mixed("the rows of one input with those of another")
    if axis != rows.axis:
        if not all(rows.fits(other) for other in others):
            raise call.mixed("the rows of one input with those of another")
        numbers, below = _numbered(call, values, axis)
        return Value(_joined(call, values, axis), rows, numbers=numbers, below=below)
    # Behind each other along their own axis: copies of the batch.
    if any(other.inner != rows.inner for other in others) or any(value.numbers is not None for value in values):
        raise call.refused("batches of different form are put behind each other")
    outer: Size = 0
    for other in others:
        outer = outer + other.outer
    return Value(_joined(call, values, axis), Rows(axis, outer, rows.inner))


def _joined(call: Call, values: Sequence[Value], axis: int) -> tuple[Size, ...]:
    shapes = [call.shape(value) for value in values]
    sizes = list(shapes[0])
    for shape in shapes[1:]:
        for at, other in enumerate(shape):
            if at == axis:
                sizes[at] = sizes[at] + other
            elif isinstance(other, int):  # of two sizes that have to be equal the plainer
                sizes[at] = other
    return tuple(sizes)


def _numbered(call: Call, values: Sequence[Value], axis: int) -> tuple[Numbers | None, Size | None]:
    """What is known of row numbers that are put together, or beside other indices along the last axis."""
    first = values[0]
    if all(value.numbers == first.numbers and value.below == first.below for value in values):
        return first.numbers, first.below
    numbered = [at for at, value in enumerate(values) if value.numbers is not None]
    if not numbered:
        return None, None
    shapes = [call.shape(value) for value in values]
    (at, *more), last = numbered, len(shapes[0]) - 1
    if more or not values[at].counts_rows or axis != last or any(shape[-1] != 1 for shape in shapes[: at + 1]):
        raise call.refused("row numbers stand beside other values")
    return Numbers(column=at), None


def _concatenated(call: Call) -> Value:
    found: tuple[Element, ...] = ()
    for value in call.inputs:
        if value is None or value.shape is None or len(value.shape) != 1:
            raise call.refused("its parts are no lists")
        found += value.elements or ()
    return call.sized(found, (len(found),))


@rule("Split")
def _split(call: Call) -> Sequence[Value]:
    value = call.value(0) if call.value(0).elements is not None else moved(call)
    shape = call.shape(value)
    axis = call.axis(call.integer("axis", 0), len(shape))
    sizes = _parts(call, shape[axis])
    if value.elements is not None and len(shape) == 1:
        found, at = [], 0
        for size in sizes:
            if not isinstance(size, int):
                raise call.refused("sizes are split at an unknown place")
            found.append(call.sized(value.elements[at : at + size], (size,)))
            at += size
        return found
    value = replace(value, elements=None)
    if value.taint is not None:
        raise call.refused("sizes are split at an unknown place")
    if value.rows is None or value.rows.axis != axis:
        if any(map(call.depends, sizes)):
            raise call.refused("it is split by the number of rows")
        return [value.shaped((*shape[:axis], size, *shape[axis + 1 :]), value.rows) for size in sizes]
    parts = []
    for size in sizes:
        inside = without(size, call.symbols.batch)
        outer = None if inside is None else exact(inside, value.rows.inner)
        if outer is None:
            raise call.mixed("some rows of the batch: it splits the batch")
        parts.append(value.shaped((*shape[:axis], size, *shape[axis + 1 :]), Rows(axis, outer, value.rows.inner)))
    return parts


def _parts(call: Call, size: Size) -> Sequence[Size]:
    """The sizes that an axis is split into."""
    wanted = call.elements(1, "the split") if call.given(1) else call.ints("split")
    count = len(call.node.outputs)
    if wanted is not None:
        if len(wanted) != count or any(isinstance(one, bool | float | str) for one in wanted):
            raise call.refused("its sizes do not fit its outputs")
        return [call.fresh() if one is None else one for one in wanted if not isinstance(one, bool | float | str)]
    if call.given(1):
        return [call.fresh() for _ in range(count)]
    each = exact(size, count)
    if each is not None:
        return [each] * count
    if isinstance(size, int):
        each = -(-size // count)
        return [each] * (count - 1) + [size - each * (count - 1)]
    if call.depends(size):
        raise call.mixed("some rows of the batch: it splits the batch")
    return [call.symbols.of("split", size, count)] * (count - 1) + [call.symbols.of("split rest", size, count)]


@rule("Slice")
def _slice(call: Call) -> Value:
    value = call.value(0)
    if value.elements is None and value.ragged is None:
        value = moved(call)
    shape = call.shape(value)
    starts, ends, steps = (_bounds(call, number, name) for number, name in ((1, "starts"), (2, "ends"), (4, "steps")))
    if call.given(3):
        axes: Sequence[int] | None = call.constants(3, "axes")
    else:
        axes = call.ints("axes")
    if starts is None or ends is None or axes is None:
        count = len(next(filter(None, (axes, starts, ends)), shape))
        starts, ends = starts or (None,) * count, ends or (None,) * count
    if axes is None:
        axes = range(len(starts))
    if steps is None:
        steps = (None if call.given(4) else 1,) * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise call.refused("its bounds do not fit its axes")
    if value.ragged is not None:
        return ragged.cut(call, value, {axis: (starts[at], ends[at], steps[at]) for at, axis in enumerate(axes)})
    elements, rows, sizes = value.elements, value.rows, list(shape)
    for at, axis in enumerate(call.axis(axis, len(shape)) for axis in axes):
        bounds = starts[at], ends[at], steps[at]
        if elements is not None:
            elements, size = _cut(elements, sizes, axis, bounds)
            if elements is not None:
                sizes[axis] = size
                continue
        if rows is not None and axis == rows.axis:
            rows = _whole_batches(call, rows, sizes[axis], bounds)
            sizes[axis] = rows.outer * call.symbols.rows * rows.inner
        elif any(map(call.counts, bounds)):
            raise call.refused("it is cut by the number of rows", definite=True)
        else:
            sizes[axis] = _left(call, sizes[axis], bounds)
    if elements is not None:
        return call.sized(elements, tuple(sizes))
    if value.taint is not None:
        raise call.refused("sizes are cut at an unknown place")
    return replace(value, shape=tuple(sizes), rows=rows, elements=None)


Bounds = tuple[Element, Element, Element]
"""start, end and step"""


def _bounds(call: Call, number: int, name: str) -> tuple[Element, ...] | None:
    if call.given(number):
        return call.elements(number, name)
    return call.ints(name)


def _cut(
    elements: tuple[Element, ...], sizes: Sequence[Size], axis: int, bounds: Bounds
) -> tuple[tuple[Element, ...] | None, Size]:
    """Some elements of a small tensor, and the size that the axis has then; None where it is not known which."""
    size, inner = sizes[axis], product(sizes[axis + 1 :])
    if not isinstance(size, int) or not isinstance(inner, int):
        return None, size
    if not all(isinstance(bound, int) for bound in bounds) or bounds[2] == 0:
        return None, size
    start, end, step = (bound for bound in bounds if isinstance(bound, int))
    kept = list(range(size))[start : None if step < 0 and end < -size else end : step]
    block = size * inner
    found = [
        elements[before + at * inner + behind]
        for before in range(0, len(elements), block or 1)
        for at in kept
        for behind in range(inner)
    ]
    return tuple(found), len(kept)


def _whole_batches(call: Call, rows: Rows, size: Size, bounds: Bounds) -> Rows:
    """What is left of an axis that holds the rows: whole copies of the batch, in order."""
    start, end, step = bounds
    if not all(isinstance(bound, int | Polynomial) for bound in bounds):
        raise call.refused("which rows it takes is not known")
    if step != 1 or isinstance(start, None | float | str) or isinstance(end, None | float | str):
        raise call.mixed("rows, of which it takes some")
    first = _copies(call, rows, start)
    if end == size or (isinstance(end, int) and end >= _ENDLESS):
        last: Size | None = rows.outer
    else:
        last = _copies(call, rows, end)
    if first is None or last is None:
        raise call.mixed("rows, of which it takes some")
    count = last - first
    if not (isinstance(count, int) and count > 0 and _within(first, last, rows.outer)):
        raise call.refused("which rows it takes is not known")
    return Rows(rows.axis, count, rows.inner)


def _within(first: Size, last: Size, outer: Size) -> bool:
    return isinstance(first, int) and isinstance(last, int) and isinstance(outer, int) and 0 <= first < last <= outer


def _copies(call: Call, rows: Rows, size: Size) -> Size | None:
    """How many copies of the batch the size counts; None where it ends within one."""
    if size == 0:
        return 0
    inside = without(size, call.symbols.batch)
    return None if inside is None else exact(inside, rows.inner)


def _left(call: Call, size: Size, bounds: Bounds) -> Size:
    """The size of an axis without rows after the cut, exact or a size of its own."""
    start, end, step = bounds
    if isinstance(size, int) and all(isinstance(bound, int) for bound in bounds) and step != 0:
        return len(range(size)[slice(*(bound for bound in bounds if isinstance(bound, int)))])
    if step == 1 and start == 0 and (end == size or (isinstance(end, int) and end >= _ENDLESS)):
        return size
    # One less than a size of at least 1 is a size; two less may not be.
    if step == 1 and start == 1 and (end == size or (isinstance(end, int) and end >= _ENDLESS)):
        return size - 1
    if step == 1 and start == 0 and end == -1:
        return size - 1
    if any(bound is None for bound in bounds):
        return call.fresh()
    left = call.symbols.of("slice", size, *bounds)
    if start == 0 and step == 1:
        call.symbols.at_most(left, (size, end) if isinstance(end, Polynomial) and positive(end) else (size,))
    return left


@rule("Pad")
def _pad(call: Call) -> Value:
    value = call.data(0)
    shape = call.shape(value)
    pads = call.elements(1, "pads") if call.given(1) else call.ints("pads")
    if call.given(2):
        call.same(2, "the value to pad with")
    axes = call.constants(3, "axes") if call.given(3) else tuple(range(len(shape)))
    axes = tuple(call.axis(axis, len(shape)) for axis in axes)
    if pads is not None and len(pads) != 2 * len(axes):
        raise call.refused("its pads do not fit its axes")
    sizes = list(shape)
    for at, axis in enumerate(axes):
        front, behind = (None, None) if pads is None else (pads[at], pads[at + len(axes)])
        if value.rows is not None and axis == value.rows.axis:
            if front != 0 or behind != 0:
                raise call.refused("rows are put before or behind those of the batch", definite=pads is not None)
        elif call.counts(front) or call.counts(behind):
            raise call.refused("it is padded by the number of rows", definite=True)
        elif isinstance(front, int | Polynomial) and isinstance(behind, int | Polynomial):
            sizes[axis] = shape[axis] + front + behind
        else:
            sizes[axis] = call.fresh()
    return Value(tuple(sizes), value.rows)


@rule("CenterCropPad")
def _crop(call: Call) -> Value:
    value = call.data(0)
    shape, wanted = call.shape(value), call.elements(1, "the shape")
    axes = call.ints("axes") or tuple(range(len(shape)))
    axes = tuple(call.axis(axis, len(shape)) for axis in axes)
    if any(map(call.counts, wanted or ())):
        raise call.refused("it is cut by the number of rows")
    sizes = [call.fresh() if axis in axes else size for axis, size in enumerate(shape)]
    return call.rowwise(value, axes, tuple(sizes))


@rule("Trilu")
def _triangle(call: Call) -> Value:
    value = call.data(0)
    if call.given(1):
        call.same(1, "the diagonal")
    rank = call.rank(value)
    return call.rowwise(value, (rank - 2, rank - 1))


@rule("ReverseSequence")
def _reversed(call: Call) -> Value:
    value, lengths = call.data(0), call.data(1)
    batch, time = call.integer("batch_axis", 1), call.integer("time_axis", 0)
    if value.rows is None and lengths.rows is None:
        return Value(value.shape)
    if value.rows is None or lengths.rows is None or not value.rows.fits(lengths.rows):
        raise call.refused("its lengths are not those of the rows")
    if value.rows.axis != batch or time == batch:
        raise call.mixed()
    return Value(value.shape, value.rows)

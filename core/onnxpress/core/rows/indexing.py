"""Operators that pick values by index.

Out of a constant table each row picks for itself. Out of rows, an index along another axis picks within each row, and
one along the axis of the rows only where it is the row's own number.
"""

from __future__ import annotations

from collections.abc import Sequence

from onnxpress.core.rows.call import Call, rule
from onnxpress.core.rows.layout import moved
from onnxpress.core.rows.sizes import product
from onnxpress.core.rows.values import FREE, Element, Numbers, Rows, Shape, Value

_ITSELF = Rows(0)


@rule("Gather")
def _gather(call: Call) -> Value:
    value, indices = call.value(0), call.value(1)
    if value.elements is not None and (found := _of_elements(call, value, indices)) is not None:
        return found
    value = moved(call, 0)
    shape = call.shape(value)
    axis = call.axis(call.integer("axis", 0), len(shape))
    if _within_own(call, value, indices, axis) and indices.rows is not None:
        picked = call.shape(indices)
        rows = indices.rows.at(axis + indices.rows.axis)
        return value.shaped((*shape[:axis], *picked, *shape[axis + 1 :]), rows)
    indices = call.indices(1)
    picked = call.shape(indices)
    result = (*shape[:axis], *picked, *shape[axis + 1 :])
    if value.rows is None:
        return Value(result, None if indices.rows is None else indices.rows.at(axis + indices.rows.axis))
    if value.rows.axis == axis:
        raise call.mixed("rows, of which it picks some")
    if indices.rows is not None:
        raise call.mixed("every row with the indices of every row")
    place = value.rows.axis
    return value.shaped(result, value.rows.at(place if place < axis else place - 1 + len(picked)))


def _within_own(call: Call, value: Value, indices: Value, axis: int) -> bool:
    """Whether each index stays among the values that its own row has at the axis."""
    if value.rows is None or value.rows != Rows(axis, 1, value.rows.inner) or indices.taint is not None:
        return False
    inner, below = value.rows.inner, indices.below
    if indices.numbers != Numbers(inner) or below is None:
        return False
    return below in (1, inner) or (isinstance(below, int) and isinstance(inner, int) and below <= inner)


def _of_elements(call: Call, value: Value, indices: Value) -> Value | None:
    """Sizes picked out of a list of them."""
    elements, places = value.elements or (), indices.elements
    if value.shape is None or len(value.shape) != 1 or places is None or indices.shape is None:
        return None
    found: list[Element] = []
    for place in places:
        if not isinstance(place, int) or not -len(elements) <= place < len(elements):
            return None
        found.append(elements[place])
    return call.sized(tuple(found), indices.shape)


@rule("GatherElements")
def _gather_elements(call: Call) -> Value:
    value, indices = call.data(0), call.indices(1)
    if value.free and indices.free:
        return Value(indices.shape)
    axis = call.axis(call.integer("axis", 0), call.rank(value))
    if value.rows is None:
        # The other axes count along with the table's: rows at the axis that is picked from pick freely.
        if indices.rows is not None and indices.rows.axis == axis:
            return Value(indices.shape, indices.rows)
        raise call.refused("its table has no rows of its own, and is counted along with them")
    _beside(call, value, indices, axis, "the indices")
    return Value(indices.shape, indices.rows)


def _beside(call: Call, value: Value, other: Value, axis: int, what: str) -> None:
    """Both have the same rows, and not at the axis that indices run along."""
    if value.rows is None or value.rows.axis == axis:
        raise call.mixed("rows, of which it picks some")
    if other.rows != value.rows:
        raise call.refused(f"{what} have other rows than the data", definite=other.rows is not None)


@rule("ScatterElements", "Scatter")
def _scatter_elements(call: Call) -> Value:
    value, indices, updates = call.data(0), call.indices(1), call.data(2)
    if value.free and indices.free and updates.free:
        return Value(value.shape)
    axis = call.axis(call.integer("axis", 0), call.rank(value))
    _beside(call, value, indices, axis, "the indices")
    _beside(call, value, updates, axis, "the updates")
    return Value(value.shape, value.rows)


def _reach(call: Call, shape: Shape) -> int:
    """How many axes an index of GatherND and ScatterND names."""
    if not shape or not isinstance(shape[-1], int):
        raise call.refused("how many axes its indices name is not known")
    return shape[-1]


def _own(value: Value, indices: Value, batch: int) -> bool:
    """Whether the indices name, in the place of the rows' axis, the row that they belong to."""
    rows = value.rows
    if rows is None or rows != Rows(rows.axis) or indices.rows is None:
        return False
    reach = (indices.shape or (None,))[-1]
    named = indices.numbers == Numbers(column=rows.axis - batch) or (
        indices.counts_rows and reach == 1 and rows.axis == batch
    )
    return named and batch <= indices.rows.axis < len(indices.shape or ()) - 1


@rule("GatherND")
def _gather_nd(call: Call) -> Value:
    value, indices, batch = call.data(0), call.value(1), call.integer("batch_dims", 0)
    shape, places = call.shape(value), call.shape(indices)
    reach = _reach(call, places)
    if batch + reach > len(shape) or batch >= len(places):
        raise call.refused("its indices name more axes than there are")
    result = (*places[:-1], *shape[batch + reach :])
    if indices.taint is None and indices.numbers is not None and _own(value, indices, batch):
        return Value(result, indices.rows)
    indices = call.indices(1)
    if indices.rows is not None and indices.rows.axis == len(places) - 1:
        raise call.mixed("the rows into one index")
    if value.rows is None:
        if indices.rows is not None and indices.rows.axis < batch:
            raise call.refused("its table has no rows of its own, and is counted along with them")
        return Value(result, indices.rows)
    place = value.rows.axis
    if place < batch:
        if indices.rows != value.rows:
            raise call.refused("the indices have other rows than the data", definite=indices.rows is not None)
        return Value(result, value.rows)
    if place < batch + reach:
        raise call.mixed("rows, of which it picks some")
    if indices.rows is not None:
        raise call.mixed("every row with the indices of every row")
    return Value(result, value.rows.at(len(places) - 1 + place - batch - reach))


@rule("ScatterND")
def _scatter_nd(call: Call) -> Value:
    value, indices, updates = call.data(0), call.value(1), call.data(2)
    shape, places = call.shape(value), call.shape(indices)
    if value.free and indices.free and updates.free:
        return Value(shape)
    reach = _reach(call, places)
    if reach > len(shape):
        raise call.refused("its indices name more axes than there are")
    if indices.taint is None and indices.numbers is not None and _own(value, indices, 0):
        if updates.rows != indices.rows:
            raise call.refused("the updates have other rows than the indices")
        return Value(shape, value.rows)
    indices = call.indices(1)
    if value.rows is None or value.rows.axis < reach:
        raise call.mixed("rows, of which it changes some")
    if indices.rows is not None or updates.rows != value.rows.at(len(places) - 1 + value.rows.axis - reach):
        raise call.refused("the updates have other rows than the data")
    return Value(shape, value.rows)


@rule("OneHot")
def _one_hot(call: Call) -> Value:
    indices = call.data(0)
    depth = call.elements(1, "the depth")
    if any(map(call.counts, depth or ())):
        raise call.refused("its depth is the number of rows", definite=True)
    call.same(2, "the values")
    shape = call.shape(indices)
    axis = call.axis(call.integer("axis", -1), len(shape) + 1)
    size = depth[0] if depth and isinstance(depth[0], int) else call.fresh()
    rows = indices.rows
    if rows is not None and rows.axis >= axis:
        rows = rows.at(rows.axis + 1)
    return Value((*shape[:axis], size, *shape[axis:]), rows)


@rule("Compress")
def _compress(call: Call) -> Value:
    value, condition = call.data(0), call.data(1)
    axis = call.attribute("axis")
    if condition.rows is not None or (value.rows is not None and axis is None):
        raise call.mixed("rows, of which it takes some")
    if axis is None:
        return Value((call.fresh(),))
    shape = call.shape(value)
    at = call.axis(axis.integer() or 0, len(shape))
    return call.rowwise(value, (at,), (*shape[:at], call.fresh(), *shape[at + 1 :]))


@rule("ArrayFeatureExtractor", domain="ai.onnx.ml")
def _extract(call: Call) -> Value:
    """Picks from the last axis; the indices are one list, whatever their shape."""
    value, indices = call.data(0), call.indices(1)
    shape, places = call.shape(value), call.shape(indices)
    result = (*(shape[:-1] if len(shape) > 1 else (1,)), product(places))
    if value.rows is None:
        if indices.rows is None:
            return Value(result)
        outer = product(places[: indices.rows.axis]) * indices.rows.outer
        inner = indices.rows.inner * product(places[indices.rows.axis + 1 :])
        return Value(result, Rows(len(result) - 1, outer, inner))
    if indices.rows is not None or value.rows.axis == len(shape) - 1:
        raise call.mixed("rows, of which it picks some")
    return Value(result, value.rows)


@rule("TensorScatter", "MaxUnpool", "MaxRoiPool", "RoiAlign")
def _unfollowed(call: Call) -> Sequence[Value]:
    if all(value.free for value in call.everything()):
        return [FREE] * len(call.node.outputs)
    raise call.refused("it is not followed")

"""Operators that combine the values along some axes: sums, extremes, orders, softmax and norms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from onnxpress.core.rows.broadcasting import broadcast
from onnxpress.core.rows.call import MS, Call, rule
from onnxpress.core.rows.sizes import Size, product
from onnxpress.core.rows.values import FREE, Element, Shape, Value


@rule(
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd",
    "ReduceSum", "ReduceSumSquare",
)  # fmt: skip
def _reduce(call: Call) -> Value:
    value = call.value(0)
    axes = _axes(call)
    if value.elements is not None and (found := _of_sizes(call, value, axes)) is not None:
        return found
    value = call.data(0)
    shape = call.shape(value)
    if axes is None:
        axes = () if call.integer("noop_with_empty_axes", 0) else tuple(range(len(shape)))
    gone = {call.axis(axis, len(shape)) for axis in axes}
    return _collapsed(call, value, shape, gone, call.integer("keepdims", 1) != 0)


def _axes(call: Call) -> tuple[int, ...] | None:
    """An attribute, later an input; an empty list is none."""
    return (call.constants(1, "axes") if call.given(1) else call.ints("axes")) or None


def _collapsed(call: Call, value: Value, shape: Shape, gone: set[int], kept: bool) -> Value:
    if value.rows is not None and value.rows.axis in gone:
        raise call.mixed()
    if kept:
        return Value(tuple(1 if axis in gone else size for axis, size in enumerate(shape)), value.rows)
    left = [axis for axis in range(len(shape)) if axis not in gone]
    rows = None if value.rows is None else value.rows.at(left.index(value.rows.axis))
    return Value(tuple(shape[axis] for axis in left), rows)


def _of_sizes(call: Call, value: Value, axes: tuple[int, ...] | None) -> Value | None:
    """The product or sum of a list of sizes."""
    operator = call.node.operator
    elements = value.elements or ()
    if operator not in ("ReduceProd", "ReduceSum") or value.shape is None or len(value.shape) != 1:
        return None
    if (axes is None and call.integer("noop_with_empty_axes", 0)) or not all(map(_countable, elements)):
        return None
    sizes = [element for element in elements if not isinstance(element, bool | float | str | None)]
    total: Size = 0
    for size in sizes:
        total = total + size
    shape: Shape = (1,) if call.integer("keepdims", 1) else ()
    return call.sized((product(sizes) if operator == "ReduceProd" else total,), shape)


def _countable(element: Element) -> bool:
    return not isinstance(element, bool | float | str | None)


@rule("ArgMax", "ArgMin")
def _arg(call: Call) -> Value:
    value = call.data(0)
    shape = call.shape(value)
    axis = call.axis(call.integer("axis", 0), len(shape))
    found = _collapsed(call, value, shape, {axis}, call.integer("keepdims", 1) != 0)
    return replace(found, below=shape[axis])


@rule("TopK")
def _top(call: Call) -> Sequence[Value]:
    value = call.data(0)
    shape = call.shape(value)
    axis = call.axis(call.integer("axis", -1), len(shape))
    if call.given(1):
        wanted: tuple[Element, ...] | None = call.elements(1, "how many")
    else:
        wanted = (call.integer("k", 1),)
    if any(map(call.counts, wanted or ())):
        raise call.refused("how many it takes follows the number of rows")
    count: Size = wanted[0] if wanted and isinstance(wanted[0], int) else call.fresh()
    return [call.rowwise(value, (axis,), (*shape[:axis], count, *shape[axis + 1 :]))] * 2


@rule("CumSum", "CumProd")
def _cumulative(call: Call) -> Value:
    value = call.data(0)
    (axis,) = call.constants(1, "the axis") or (0,)
    return call.rowwise(value, (call.axis(axis, call.rank(value)),))


@rule("Softmax", "LogSoftmax", "Hardmax")
def _softmax(call: Call) -> Value:
    """Along one axis; below opset 13 over all axes from that one on."""
    value = call.data(0)
    rank = call.rank(value)
    if call.version >= 13:
        return call.rowwise(value, (call.axis(call.integer("axis", -1), rank),))
    axis = call.integer("axis", 1)
    axis = axis + rank if axis < 0 else axis
    return call.rowwise(value, range(axis, rank))


@rule("LpNormalization")
def _lp(call: Call) -> Value:
    value = call.data(0)
    return call.rowwise(value, (call.axis(call.integer("axis", -1), call.rank(value)),))


@rule("MeanVarianceNormalization")
def _mean_variance(call: Call) -> Value:
    value = call.data(0)
    rank, axes = call.rank(value), call.ints("axes")
    return call.rowwise(value, [call.axis(axis, rank) for axis in ((0, 2, 3) if axes is None else axes)])


@rule("LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization")
@rule("LayerNormalization", "SimplifiedLayerNormalization", domain=MS)
def _layer_norm(call: Call) -> Sequence[Value]:
    """From `axis` on; what each row is scaled by, is broadcast to it."""
    value = call.data(0)
    shape = call.shape(value)
    axis = call.axis(call.integer("axis", -1), len(shape))
    normal = call.rowwise(value, range(axis, len(shape)))
    scaled = broadcast(call, [normal, *call.everything()[1:]])
    if scaled.shape is not None and len(scaled.shape) != len(shape):
        raise call.refused("its scale has more axes than what it scales")
    statistics = Value((*shape[:axis], *(1,) * (len(shape) - axis)), value.rows)
    return [Value(shape, value.rows) if scaled.rows == value.rows else scaled, statistics, statistics]


@rule("SkipLayerNormalization", "SkipSimplifiedLayerNormalization", domain=MS)
def _skip_norm(call: Call) -> Sequence[Value]:
    """The sum of two values, normalised along the last axis."""
    whole = broadcast(call, call.everything())
    rank = call.rank(whole)
    normal = call.rowwise(whole, (rank - 1,))
    statistics = FREE if normal.free else call.untold("its statistics are not followed")
    return [normal, statistics, statistics, normal]


@rule("BatchNormalization")
def _batch_norm(call: Call) -> Sequence[Value]:
    """With stored statistics each value is scaled by those of its channel, axis 1."""
    value = call.data(0)
    if call.integer("training_mode", 0) or (call.version < 14 and sum(map(bool, call.node.outputs)) > 1):
        if value.rows is None:
            return [FREE] * len(call.node.outputs)
        raise call.mixed("all rows into its statistics")
    if call.version < 7:
        raise call.refused("before opset 7 it is not followed")
    for number in range(1, 5):
        if call.rank(call.same(number, "a statistic")) != 1:
            raise call.refused("its statistics are not one for each channel")
    if value.rows is not None and (value.rows.axis == 1 or call.rank(value) < 2):
        raise call.refused("its channels are the rows")
    return [Value(value.shape, value.rows)]


@rule("InstanceNormalization")
def _instance_norm(call: Call) -> Value:
    """Over all axes from the third on."""
    value = call.data(0)
    for number in (1, 2):
        call.same(number, "a scale")
    if value.rows is not None and (value.rows.axis == 1 or call.rank(value) < 3):
        raise call.refused("its channels are the rows")
    return call.rowwise(value, range(2, call.rank(value)))


@rule("GroupNormalization", "LRN")
@rule("GroupNorm", domain=MS)
def _group_norm(call: Call) -> Value:
    """Within each index of axis 0."""
    value = call.data(0)
    for number in range(1, len(call.inputs)):
        call.same(number, "a scale")
    call.only_axis(value, 0)
    return Value(value.shape, value.rows)


@rule("Det")
def _determinant(call: Call) -> Value:
    value = call.data(0)
    shape = call.shape(value)
    return call.rowwise(value, (len(shape) - 2, len(shape) - 1), shape[:-2])

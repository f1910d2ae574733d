"""Convolutions, pools and what else works on (batch, channels, …): within each index of axis 0."""

from __future__ import annotations

from collections.abc import Sequence

from onnxpress.core.rows.call import MS, Call, rule
from onnxpress.core.rows.sizes import Size
from onnxpress.core.rows.values import FREE, Element, Rows, Shape, Value


def _image(call: Call, number: int = 0) -> Value:
    """An input whose rows can only be at axis 0."""
    value = call.data(number)
    call.only_axis(value, 0)
    if call.rank(value) < 3:
        raise call.refused("it is no image, nor a signal of channels")
    return value


def _weights(call: Call, first: int) -> None:
    for number in range(first, len(call.inputs)):
        if call.given(number):
            call.same(number, "a weight")


@rule("Conv", "ConvInteger")
@rule("FusedConv", domain=MS)
def _conv(call: Call) -> Value:
    value = _image(call)
    shape = call.shape(value)
    added = call.value(3) if call.node.operator == "FusedConv" and call.given(3) else None
    if added is not None and (call.data(3).shape != added.shape or added.rows != value.rows):
        raise call.refused("what it adds has other rows")
    for number in range(1, len(call.inputs)):
        if call.given(number) and not (added is not None and number == 3):
            call.same(number, "a weight")
    return Value(_convolved(call, shape, call.shape(call.value(1))), value.rows)


@rule("QLinearConv")
def _quantized(call: Call) -> Value:
    value = _image(call)
    _weights(call, 1)
    return Value(_convolved(call, call.shape(value), call.shape(call.value(3))), value.rows)


def _convolved(call: Call, shape: Shape, weight: Shape) -> Shape:
    if len(weight) != len(shape):
        raise call.refused("its weight does not fit its input")
    return (shape[0], weight[0], *_windows(call, shape[2:], weight[2:]))


def _windows(call: Call, sizes: Sequence[Size], kernel: Sequence[Size]) -> list[Size]:
    """How many windows fit along each axis."""
    count = len(sizes)
    strides, dilations = call.ints("strides") or (1,) * count, call.ints("dilations") or (1,) * count
    pads = call.ints("pads") or (0,) * (2 * count)
    how = call.string("auto_pad", "NOTSET")
    if not len(strides) == len(dilations) == len(kernel) == count or len(pads) != 2 * count:
        raise call.refused("its settings do not fit its axes")
    found: list[Size] = []
    for axis, size in enumerate(sizes):
        if how in ("SAME_UPPER", "SAME_LOWER"):
            found.append(size if strides[axis] == 1 else _divided(call, size + (strides[axis] - 1), strides[axis]))
            continue
        padded = size if how == "VALID" else size + (pads[axis] + pads[axis + count])
        inside = padded - dilations[axis] * (kernel[axis] - 1) - 1
        if call.integer("ceil_mode", 0):
            found.append(call.symbols.of("ceiling", inside, strides[axis]))
        else:
            found.append(inside + 1 if strides[axis] == 1 else _divided(call, inside, strides[axis]) + 1)
    return found


def _divided(call: Call, size: Size, by: int) -> Size:
    """Rounded down."""
    if by < 1:
        raise call.refused("its strides are not positive")
    return size // by if isinstance(size, int) else call.symbols.of("divided", size, by)


@rule("ConvTranspose")
def _transposed(call: Call) -> Value:
    value = _image(call)
    _weights(call, 1)
    shape, weight = call.shape(value), call.shape(call.value(1))
    count = len(shape) - 2
    strides, pads = call.ints("strides") or (1,) * count, call.ints("pads") or (0,) * (2 * count)
    dilations, extra = call.ints("dilations") or (1,) * count, call.ints("output_padding") or (0,) * count
    given, group = call.ints("output_shape"), call.integer("group", 1)
    if len(weight) != len(shape) or not len(strides) == len(dilations) == len(extra) == count:
        raise call.refused("its settings do not fit its axes")
    sizes: list[Size] = []
    for axis in range(count):
        if given is not None and len(given) >= count:
            sizes.append(given[len(given) - count + axis])
        elif call.string("auto_pad", "NOTSET") != "NOTSET" or len(pads) != 2 * count:
            sizes.append(call.fresh())
        else:
            reach = dilations[axis] * (weight[axis + 2] - 1) + 1 + extra[axis] - pads[axis] - pads[axis + count]
            sizes.append(strides[axis] * (shape[axis + 2] - 1) + reach)
    return Value((shape[0], weight[1] * group, *sizes), value.rows)


@rule("DeformConv")
def _deformed(call: Call) -> Value:
    value, offset = _image(call), _image(call, 2)
    mask = _image(call, 4) if call.given(4) else offset
    if offset.rows != value.rows or mask.rows != value.rows:
        raise call.refused("its offsets have other rows than its input")
    call.same(1, "a weight")
    if call.given(3):
        call.same(3, "a weight")
    return Value(_convolved(call, call.shape(value), call.shape(call.value(1))), value.rows)


@rule("AveragePool", "MaxPool", "LpPool")
def _pool(call: Call) -> Sequence[Value]:
    value = _image(call)
    shape, kernel = call.shape(value), call.ints("kernel_shape")
    if kernel is None:
        raise call.refused("its kernel's shape is missing")
    result = Value((*shape[:2], *_windows(call, shape[2:], kernel)), value.rows)
    if value.rows is None:
        return [result, FREE]
    return [result, call.untold("its indices count through the whole batch")]


@rule("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
def _global(call: Call) -> Value:
    value = _image(call)
    shape = call.shape(value)
    return Value((*shape[:2], *(1,) * (len(shape) - 2)), value.rows)


@rule("Resize", "Upsample")
def _resize(call: Call) -> Value:
    """Along an axis that keeps its size, and is scaled by 1, every index stays itself."""
    value = call.data(0)
    shape = call.shape(value)
    old = call.node.operator == "Upsample" or call.version < 11
    scales_at, sizes_at = (1, 99) if old else (2, 3)
    axes = [call.axis(axis, len(shape)) for axis in call.ints("axes") or range(len(shape))]
    rows = value.rows
    if rows is not None and rows.axis in axes and call.string("coordinate_transformation_mode", "") in _CROPS:
        raise call.refused("it crops the rows")
    for number in (1, scales_at):
        if call.given(number):
            _given(call, number)
    sizes = list(shape)
    if call.given(sizes_at):
        if call.string("keep_aspect_ratio_policy", "stretch") != "stretch":
            raise call.refused("its sizes are changed by each other")
        wanted = call.elements(sizes_at, "the sizes") or (None,) * len(axes)
        for axis, size in zip(axes, wanted, strict=False):
            sizes[axis] = _resized(call, axis, rows, shape[axis], size)
        return Value(tuple(sizes), rows)
    scales = call.elements(scales_at, "the scales") if call.given(scales_at) else _floats(call)
    for axis, scale in zip(axes, scales or (None,) * len(axes), strict=False):
        if scale == 1:
            continue
        if call.counts(scale):
            raise call.refused("it is scaled by the number of rows")
        if rows is not None and axis == rows.axis:
            raise call.refused("it scales the rows", definite=scale is not None)
        whole = isinstance(scale, int | float) and float(scale).is_integer() and scale > 0
        sizes[axis] = shape[axis] * int(scale) if whole and isinstance(scale, int | float) else call.fresh()
    return Value(tuple(sizes), rows)


_CROPS = ("tf_crop_and_resize",)


def _given(call: Call, number: int) -> None:
    value = call.value(number)
    if value.rows is not None or (value.taint is not None and value.elements is None):
        raise call.refused("what it is resized to differs from row to row")


def _floats(call: Call) -> tuple[Element, ...] | None:
    found = call.attribute("scales")
    return None if found is None else found.floats()


def _resized(call: Call, axis: int, rows: Rows | None, old: Size, new: Element) -> Size:
    if rows is not None and axis == rows.axis:
        if new != old:
            raise call.refused("it changes how many rows there are")
        return old
    if call.counts(new):
        raise call.refused("it is resized by the number of rows")
    return call.fresh() if new is None or isinstance(new, bool | float | str) else new


@rule("GridSample")
def _sampled(call: Call) -> Value:
    value, grid = _image(call), _image(call, 1)
    if value.rows != grid.rows:
        raise call.refused("its grid has other rows than its input")
    return Value((*call.shape(value)[:2], *call.shape(grid)[1:-1]), value.rows)


@rule("AffineGrid")
def _grid(call: Call) -> Value:
    value = _image(call)
    wanted = call.elements(1, "the size")
    if value.rows is None:
        if any(map(call.counts, wanted or ())):
            raise call.refused("the number of rows is in the shape of a value that has none")
        return FREE
    if wanted is None or wanted[0] != call.shape(value)[0] or any(map(call.counts, wanted[1:])):
        raise call.refused("its size is not that of the rows")
    sizes = [one if isinstance(one, int) and not isinstance(one, bool) else call.fresh() for one in wanted[2:]]
    return Value((call.shape(value)[0], *sizes, len(sizes)), value.rows)


@rule("Col2Im")
def _blocks(call: Call) -> Value:
    value = _image(call)
    sizes, block = call.elements(1, "the image's shape"), call.elements(2, "the block's shape")
    if sizes is None or any(map(call.counts, (*sizes, *(block or ())))):
        raise call.refused("its shapes are not constants")
    rest = [one if isinstance(one, int) and not isinstance(one, bool) else call.fresh() for one in sizes]
    return Value((call.shape(value)[0], call.fresh(), *rest), value.rows)


@rule("DFT")
def _dft(call: Call) -> Value:
    """Along one axis; the last one holds the real and the imaginary part."""
    value = call.data(0)
    shape = call.shape(value)
    if call.version >= 20:
        (axis,) = call.constants(2, "the axis") if call.given(2) else (-2,)
    else:
        axis = call.integer("axis", 1)
    at = call.axis(axis, len(shape))
    length = call.elements(1, "the length") if call.given(1) else None
    if any(map(call.counts, length or ())):
        raise call.refused("its length is the number of rows")
    sizes = [call.fresh() if number == at else size for number, size in enumerate(shape)]
    return call.rowwise(value, (at, len(shape) - 1), (*sizes[:-1], call.fresh()))


@rule("STFT")
def _stft(call: Call) -> Value:
    value = call.data(0)
    shape = call.shape(value)
    for number in range(1, 4):
        if call.given(number):
            call.same(number, "a frame")
    return call.rowwise(value, range(1, len(shape)), (shape[0], call.fresh(), call.fresh(), 2))

"""Operators that take their inputs element by element, after broadcasting.

Broadcasting aligns axes at the right. Rows stay rows where every other input has, at that axis, the same rows, or
nothing, or a size that is 1 for certain: a size that merely may be 1 would be stretched in a batch of one row alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from onnxpress.core.rows.arithmetic import FOLDED, fold
from onnxpress.core.rows.call import MS, Call, Dependence, rule
from onnxpress.core.rows.sizes import Polynomial, Size, positive
from onnxpress.core.rows.values import FREE, Element, Numbers, Rows, Shape, Value


def stretched(call: Call, one: Size, other: Size) -> Size:
    """The common size of two axes without rows."""
    if one == other or other == 1:
        return one
    if one == 1:
        return other
    if isinstance(one, int):
        return one
    if isinstance(other, int):
        return other
    # Where they differ, the runtime takes only a smaller one that is 1.
    if (larger := call.symbols.larger(one, other)) is not None:
        return larger
    return call.symbols.of("stretched", *sorted((one, other), key=str))


def broadcast(call: Call, values: Sequence[Value]) -> Value:
    """The shape of all of them together, and where its rows are."""
    first = values[0]
    if all(value.shape == first.shape and value.rows == first.rows for value in values) and first.shape is not None:
        return Value(first.shape, first.rows)
    if any(value.shape is None for value in values):
        if all(value.free for value in values):
            return FREE
        raise call.refused("an input's rank is not known")
    shapes = [call.shape(value) for value in values]
    rank = max(map(len, shapes))
    rows: Rows | None = None
    for value, shape in zip(values, shapes, strict=True):
        if value.rows is None:
            continue
        here = value.rows.at(value.rows.axis + rank - len(shape))
        if rows is None:
            rows = here
        elif rows != here:
            raise call.mixed("the rows of one input with those of another")
    sizes: list[Size] = [1] * rank
    for value, shape in zip(values, shapes, strict=True):
        for axis, size in enumerate(shape, rank - len(shape)):
            if rows is not None and axis == rows.axis:
                if value.rows is not None:
                    sizes[axis] = size
                elif size != 1:
                    raise call.refused("an axis of a size of its own meets the rows")
            else:
                sizes[axis] = stretched(call, sizes[axis], size)
    return Value(tuple(sizes), rows)


@rule(
    "Add", "Sub", "Mul", "Div", "Mod", "Pow", "Min", "Max", "Mean", "Sum", "And", "Or", "Xor", "Equal", "Greater",
    "GreaterOrEqual", "Less", "LessOrEqual", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "PRelu", "Where",
    "Clip", "StringConcat",
)  # fmt: skip
def _broadcast(call: Call) -> Value:
    if call.version < 7 and call.node.operator != "Clip":
        raise call.refused("broadcasting before opset 7 is not followed")
    if call.node.operator in FOLDED and len(call.inputs) <= 3:
        folded = _folded(call)
        if folded is not None:
            return folded
    if (indices := _shifted(call)) is not None:
        return indices
    return _combined(call)


def _combined(call: Call) -> Value:
    """Of values that are not told row by row at least the shape."""
    try:
        return broadcast(call, call.everything())
    except Dependence as dependence:
        return Value(_outline(call), taint=dependence.taint)


def _outline(call: Call) -> Shape | None:
    """The shape of all inputs together, where it is known for every number of rows."""
    shapes = [value.shape for value in call.inputs if value is not None and value.ragged is None]
    if any(shape is None for shape in shapes):
        return None
    known = [shape for shape in shapes if shape is not None]
    rank = max(map(len, known), default=0)
    sizes: list[Size] = [1] * rank
    for shape in known:
        for axis, size in enumerate(shape, rank - len(shape)):
            if size in (1, sizes[axis]) or sizes[axis] == 1:
                sizes[axis] = sizes[axis] if size == 1 else size
            elif call.depends(size) or call.depends(sizes[axis]):
                return None
            else:
                sizes[axis] = stretched(call, sizes[axis], size)
    return tuple(sizes)


def _shifted(call: Call) -> Value | None:
    """Row numbers times a size, or plus something of the row's own; None where it is something else."""
    operator = call.node.operator
    if operator not in ("Add", "Mul") or len(call.inputs) != 2:
        return None
    numbered = [value for value in call.inputs if value is not None and value.numbers is not None]
    others = [value for value in call.inputs if value is not None and value.numbers is None]
    if len(numbered) != 1 or len(others) != 1 or others[0].taint is not None or others[0].ragged is not None:
        return None
    (value,), (other,) = numbered, others
    numbers, below = value.numbers, value.below
    if numbers is None or numbers.column is not None or below is None:
        return None
    if operator == "Mul":
        factor = other.elements[0] if other.elements is not None and len(other.elements) == 1 else None
        if below != 1 or not isinstance(factor, int | Polynomial) or not positive(factor):
            return None
        numbers = Numbers(numbers.stride * factor)
    elif other.below is None:
        return None
    else:
        below = below + other.below - 1
    place = broadcast(call, [Value(value.shape, value.rows), Value(other.shape, other.rows)])
    return Value(place.shape, place.rows, numbers=numbers, below=below)


@rule("BiasGelu", "FastGelu", domain=MS)
def _bias(call: Call) -> Value:
    return broadcast(call, call.everything())


@rule(
    "Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "BitwiseNot", "Ceil", "Celu", "Cos", "Cosh", "Elu", "Erf",
    "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "IsInf", "IsNaN", "LeakyRelu", "Log", "Mish", "Neg", "Not",
    "Reciprocal", "RegexFullMatch", "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus",
    "Softsign", "Sqrt", "Swish", "Tan", "Tanh", "ThresholdedRelu",
)  # fmt: skip
def _unary(call: Call) -> Value:
    if call.node.operator in FOLDED:
        folded = _folded(call)
        if folded is not None:
            return folded
    return _combined(call)


@rule("Gelu", "QuickGelu", domain=MS)
def _gelu(call: Call) -> Value:
    value = call.data(0)
    return Value(value.shape, value.rows)


@rule("Identity")
def _identity(call: Call) -> Value:
    return call.value(0)


@rule("Cast", "CastLike")
def _cast(call: Call) -> Value:
    """Sizes and row numbers stay what they are: both are far below what any type but the smallest rounds."""
    value = call.value(0)
    wanted = _EXACT.get(call.integer("to", 0)) if call.node.operator == "Cast" and value.ragged is None else None
    if wanted is not None and value.elements is None:
        return value
    if wanted is not None and all(map(_whole, value.elements or ())):
        # Plain numbers show by their type whether a division rounds them.
        numbers = tuple(wanted(one) if isinstance(one, int | float) else one for one in value.elements or ())
        return replace(value, elements=numbers)
    value = call.data(0)
    return Value(value.shape, value.rows)


_EXACT: dict[int, type[int] | type[float]] = {1: float, 6: int, 7: int, 11: float}
"""float32, int32, int64, float64"""


def _whole(element: Element) -> bool:
    if isinstance(element, int | float) and not isinstance(element, bool):
        return float(element).is_integer() and abs(element) <= 1 << 24
    return element is None or isinstance(element, Polynomial)


@rule("Dropout")
def _dropout(call: Call) -> Sequence[Value]:
    value = call.data(0)
    if call.version < 7:
        raise call.refused("before opset 7 it is not followed")
    if call.given(2) and call.elements(2, "training_mode") not in ((False,), (0,)):
        raise call.refused("whether it trains is not a constant")
    return [Value(value.shape, value.rows)] * 2


@rule("QuantizeLinear", "DequantizeLinear")
def _quantize(call: Call) -> Value:
    """A scale is one number, or one for each index of `axis`, or one for each block along it."""
    value = call.data(0)
    for number in range(1, len(call.inputs)):
        if not call.given(number):
            continue
        scale = call.same(number, "a scale")
        if value.rows is None or scale.shape in ((), (1,)):
            continue
        rank = call.rank(value)
        if call.rank(scale) != 1 or call.axis(call.integer("axis", 1), rank) == value.rows.axis:
            raise call.refused("its scales differ along the rows")
    return Value(value.shape, value.rows)


@rule("DynamicQuantizeLinear")
def _dynamic(call: Call) -> Sequence[Value]:
    value = call.data(0)
    if value.rows is not None:
        raise call.mixed("all values into one scale")
    return [Value(value.shape), Value(()), Value(())]


@rule("DynamicQuantizeMatMul", "DynamicQuantizeLSTM", domain=MS)
def _dynamic_product(call: Call) -> Value | Sequence[Value]:
    """Their first input is quantized with one scale for all of it, as by DynamicQuantizeLinear."""
    if call.data(0).rows is not None:
        raise call.mixed("all values into one scale")
    raise call.refused("what it makes of a constant is not followed")


@rule("QLinearAdd", "QLinearMul", domain=MS)
def _quantized(call: Call) -> Value:
    for number in (1, 2, 4, 5, 6, 7):
        if call.given(number) and call.same(number, "a scale").shape not in ((), (1,)):
            raise call.refused("its scales are not single numbers")
    return broadcast(call, [call.data(0), call.data(3)])


def _folded(call: Call) -> Value | None:
    """Arithmetic on sizes, where every input is a small tensor of known elements; None where it is not."""
    values = [value for value in call.inputs if value is not None]
    if not values or any(value.elements is None or value.shape is None for value in values):
        return None
    try:
        shape = call.shape(broadcast(call, [Value(value.shape) for value in values]))
    except Dependence:
        return None
    return folded_to(call, shape, [value.elements or () for value in values], [call.shape(value) for value in values])


def folded_to(
    call: Call, shape: Shape, elements: Sequence[tuple[Element, ...]], shapes: Sequence[Shape]
) -> Value | None:
    """The operator on each element in turn; None where a result may depend on the number of rows and is not known."""
    count = max(map(len, elements))
    for one, given in zip(elements, shapes, strict=True):
        if len(one) not in (1, count) or (count > 1 and len(one) == count and given != shape):
            return None
    found = []
    for at in range(count):
        arguments = [one[at] if len(one) > 1 else one[0] for one in elements]
        result = fold(call.node.operator, arguments, call.symbols.batch)
        if result is NotImplemented:
            return None
        found.append(result)
    return call.sized(tuple(found), shape)

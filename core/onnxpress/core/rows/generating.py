"""Operators that make values out of sizes, out of nothing, or at random."""

from __future__ import annotations

from collections.abc import Sequence

from onnxpress.core.rows.call import COUNTED, MS, Call, rule
from onnxpress.core.rows.constants import MOST_ELEMENTS, constant
from onnxpress.core.rows.sizes import Polynomial, Size, positive, product, without
from onnxpress.core.rows.values import FREE, Element, Numbers, Rows, Value


@rule("Constant")
def _constant(call: Call) -> Value:
    tensor = call.tensor("value")
    if tensor is not None:
        return constant(tensor)
    single, several = call.attribute("value_int"), call.attribute("value_ints")
    if single is not None:
        return Value((), None, None, (single.integer() or 0,))
    if several is not None:
        count = several.count()
        return Value((count,), None, None, several.ints() if count <= MOST_ELEMENTS else None)
    if (number := call.attribute("value_float")) is not None:
        return Value((), None, None, (number.number() or 0.0,))
    for name in ("value_floats", "value_strings"):
        if (found := call.attribute(name)) is not None:
            return Value((found.count(),))
    if (text := call.attribute("value_string")) is not None:
        return Value((), None, None, (text.string() or "",))
    return FREE


@rule("ConstantOfShape")
def _filled(call: Call) -> Value:
    wanted = call.elements(0, "the shape")
    if wanted is None:
        shape = call.value(0).shape
        rank = shape[0] if shape else None
        return Value(tuple(call.fresh() for _ in range(rank))) if isinstance(rank, int) and rank <= 16 else FREE
    sizes: list[Size] = []
    rows = None
    for axis, element in enumerate(wanted):
        if element is None or isinstance(element, bool | float | str):
            sizes.append(call.fresh())
            continue
        sizes.append(element)
        if call.depends(element):
            inside = without(element, call.symbols.batch)
            if rows is not None or inside is None:
                raise call.refused("the number of rows is in its shape")
            rows = Rows(axis, 1, inside)
    return Value(tuple(sizes), rows, None, _fill(call, sizes))


def _fill(call: Call, sizes: Sequence[Size]) -> tuple[Element, ...] | None:
    count = product(sizes)
    if not isinstance(count, int) or not 0 <= count <= MOST_ELEMENTS:
        return None
    tensor = call.tensor("value")
    value = (0.0,) if tensor is None else constant(tensor).elements
    return None if value is None or len(value) != 1 else value * count


@rule("Range")
def _range(call: Call) -> Value:
    bounds = [call.elements(number, "a bound") for number in range(3)]
    known = [None if bound is None or len(bound) != 1 else bound[0] for bound in bounds]
    start, limit, step = known
    if not any(map(call.counts, known)):
        if start == 0 and step == 1 and isinstance(limit, int) and limit >= 0:
            return Value((limit,), elements=tuple(range(limit)) if limit <= MOST_ELEMENTS else None, below=limit)
        if start == 0 and step == 1 and isinstance(limit, Polynomial) and positive(limit):
            return Value((limit,), below=limit)
        return Value((call.fresh(),))
    if start == 0 and step == 1 and limit == call.symbols.rows:
        return Value((call.symbols.rows,), Rows(0), numbers=Numbers(), below=1)
    raise call.refused(COUNTED, definite=True)


@rule("EyeLike")
def _eye(call: Call) -> Value:
    value = call.value(0)
    if value.rows is not None or value.shape is None or any(map(call.depends, value.shape)):
        raise call.refused(COUNTED, definite=value.rows is not None)
    return Value(value.shape)


@rule("HannWindow", "HammingWindow", "BlackmanWindow")
def _window(call: Call) -> Value:
    size = call.elements(0, "the size")
    if any(map(call.counts, size or ())):
        raise call.refused(COUNTED)
    return Value((call.fresh(),))


@rule("MelWeightMatrix")
def _mel(call: Call) -> Value:
    call.everything()
    return Value((call.fresh(), call.fresh()))


@rule(
    "Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", pure=False
)  # fmt: skip
def _random(call: Call) -> Value:
    raise call.refused("its values are drawn at random")


@rule("Unique", "NonZero", "NonMaxSuppression")
def _searched(call: Call) -> Sequence[Value]:
    """Their size depends on the values: one row's answer moves the others'."""
    if all(value.free for value in call.everything()):
        return [FREE] * len(call.node.outputs)
    raise call.mixed("all rows into a list of its own length")


@rule("Unique", "Inverse", domain=MS)
def _nothing(call: Call) -> Value:
    raise call.refused("it is not followed")

"""MatMul, Gemm, Einsum and their relatives: sums over the axes that two inputs share.

Rows may be at an axis that is kept, or aligned at the front of both; at a summed axis they are combined.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from onnxpress.core.rows.broadcasting import broadcast
from onnxpress.core.rows.call import MS, Call, rule
from onnxpress.core.rows.sizes import Size
from onnxpress.core.rows.values import FREE, Rows, Value


def product_of(call: Call, left: Value, right: Value) -> Value:
    """(…, m, k) · (…, k, n) → (…, m, n), as numpy's matmul does for every rank."""
    if left.shape is None or right.shape is None:
        if left.free and right.free:
            return FREE
        raise call.refused("an input's rank is not known")
    # A vector gets an axis of size 1 for the time of the product.
    if len(left.shape) == 1:
        rows = None if left.rows is None else left.rows.at(1)
        found = product_of(call, replace(left, shape=(1, *left.shape), rows=rows, elements=None), right)
        return _dropped(call, found, len(call.shape(found)) - 2 if len(right.shape) > 1 else 0)
    if len(right.shape) == 1:
        found = product_of(call, left, replace(right, shape=(*right.shape, 1), elements=None))
        return _dropped(call, found, len(call.shape(found)) - 1)
    for value, summed in ((left, len(left.shape) - 1), (right, len(right.shape) - 2)):
        if value.rows is not None and value.rows.axis == summed:
            raise call.mixed()
    m = Value((*left.shape[:-2], left.shape[-2], 1), left.rows)
    n = Value((*right.shape[:-2], 1, right.shape[-1]), right.rows)
    return broadcast(call, [m, n])


def _dropped(call: Call, value: Value, axis: int) -> Value:
    shape = call.shape(value)
    rows = value.rows
    if rows is not None and rows.axis == axis:
        raise call.refused("its rows are a vector")
    if rows is not None and rows.axis > axis:
        rows = rows.at(rows.axis - 1)
    return Value((*shape[:axis], *shape[axis + 1 :]), rows)


@rule("MatMul")
def _matmul(call: Call) -> Value:
    return product_of(call, call.data(0), call.data(1))


@rule("MatMulInteger")
@rule("MatMulIntegerToFloat", domain=MS)
def _integers(call: Call) -> Value:
    for number in range(2, len(call.inputs)):
        if call.given(number) and call.same(number, "a scale").shape not in ((), (1,)):
            _of_columns(call, number)
    return product_of(call, call.data(0), call.data(1))


def _of_columns(call: Call, number: int) -> None:
    """A scale for each column of a constant right side leaves rows on the left alone."""
    left, right = call.data(0), call.data(1)
    per_left = number == 2 or (call.node.operator != "MatMulInteger" and number == 4)
    if not right.free or per_left or (left.rows is not None and left.rows.axis == call.rank(left) - 1):
        raise call.refused("its scales are not single numbers")
    if call.rank(call.value(number)) != 1:
        raise call.refused("its scales are not single numbers")


@rule("QLinearMatMul")
def _quantized(call: Call) -> Value:
    for number in (1, 2, 4, 5, 6, 7):
        if call.given(number) and call.same(number, "a scale").shape not in ((), (1,)):
            raise call.refused("its scales are not single numbers")
    return product_of(call, call.data(0), call.data(3))


@rule("FusedMatMul", domain=MS)
def _fused(call: Call) -> Value:
    if call.integer("transBatchA", 0) or call.integer("transBatchB", 0):
        raise call.refused("it transposes the batch")
    left, right = call.data(0), call.data(1)
    return product_of(
        call,
        _turned(call, left) if call.integer("transA", 0) else left,
        _turned(call, right) if call.integer("transB", 0) else right,
    )


@rule("MatMulNBits", domain=MS)
def _few_bits(call: Call) -> Value:
    """(…, k) by constant weights packed into blocks → (…, n)."""
    value = call.data(0)
    for number in range(1, len(call.inputs)):
        if call.given(number):
            call.same(number, "a weight")
    shape = call.shape(value)
    return call.rowwise(value, (len(shape) - 1,), (*shape[:-1], call.integer("N", 0)))


def _turned(call: Call, value: Value) -> Value:
    """With the last two axes exchanged."""
    shape = call.shape(value)
    rank = len(shape)
    if rank < 2:
        return value
    rows = value.rows
    if rows is not None and rows.axis >= rank - 2:
        rows = rows.at(2 * rank - 3 - rows.axis)
    return Value((*shape[:-2], shape[-1], shape[-2]), rows)


@rule("Gemm")
@rule("FusedGemm", domain=MS)
def _gemm(call: Call) -> Value:
    left, right = call.data(0), call.data(1)
    if call.version < 7 and call.node.domain == "":
        raise call.refused("before opset 7 it is not followed")
    if call.rank(left) != 2 or call.rank(right) != 2:
        raise call.refused("its inputs are not matrices")
    found = product_of(
        call,
        _turned(call, left) if call.integer("transA", 0) else left,
        _turned(call, right) if call.integer("transB", 0) else right,
    )
    if not call.given(2):
        return found
    added = broadcast(call, [found, call.data(2)])
    if added.shape is not None and len(added.shape) != 2:
        raise call.refused("what it adds has more axes than the product")
    return added


@rule("Einsum")
def _einsum(call: Call) -> Value:
    values = call.everything()
    terms, result = _equation(call, [call.rank(value) for value in values])
    sizes: dict[str, Size] = {}
    place: tuple[str, Rows] | None = None
    for term, value in zip(terms, values, strict=True):
        for axis, (label, size) in enumerate(zip(term, call.shape(value), strict=True)):
            if label not in sizes or sizes[label] == 1:
                sizes[label] = size
            if value.rows is None or value.rows.axis != axis:
                continue
            if term.count(label) > 1:
                raise call.mixed("the rows with another axis")
            here = label, value.rows.at(0)
            if place is not None and place != here:
                raise call.mixed("the rows of one input with those of another")
            place = here
    if place is None:
        return Value(tuple(sizes[label] for label in result))
    label, rows = place
    for term, value in zip(terms, values, strict=True):
        if label in term and value.rows is None and call.shape(value)[term.index(label)] != 1:
            raise call.refused("an axis of a size of its own meets the rows")
    if result.count(label) != 1:
        raise call.mixed()
    sizes[label] = rows.outer * call.symbols.rows * rows.inner
    return Value(tuple(sizes[label] for label in result), rows.at(result.index(label)))


def _equation(call: Call, ranks: Sequence[int]) -> tuple[list[list[str]], list[str]]:
    """The labels of every input's axes, and of the result's; those that an ellipsis stands for are numbered."""
    equation = call.string("equation", "").replace(" ", "")
    left, arrow, right = equation.partition("->")
    written = left.split(",")
    if len(written) != len(ranks):
        raise call.refused("its equation does not fit its inputs")
    widest = max(
        (rank - len(term.replace("...", "")) for term, rank in zip(written, ranks, strict=True) if "..." in term),
        default=0,
    )
    terms = []
    for term, rank in zip(written, ranks, strict=True):
        head, dots, tail = term.partition("...")
        hidden = rank - len(head) - len(tail)
        if hidden < 0 or (hidden and not dots):
            raise call.refused("its equation does not fit its inputs")
        terms.append([*head, *(f".{widest - hidden + number}" for number in range(hidden)), *tail])
    dotted = [f".{number}" for number in range(widest)]
    if arrow:
        head, dots, tail = right.partition("...")
        result = [*head, *(dotted if dots else []), *tail]
    else:
        once = "".join(written).replace(".", "")
        if once != once.lower() and once != once.upper():
            raise call.refused("the order of its result's axes is not followed")
        result = dotted + sorted(label for label in set(once) if once.count(label) == 1)
    known = {label for term in terms for label in term}
    if not known.issuperset(result) or len(set(result)) != len(result):
        raise call.refused("its equation is not followed")
    return terms, result

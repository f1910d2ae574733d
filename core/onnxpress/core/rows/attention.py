"""Attention and what belongs to it: each index of axis 0 for itself."""

from __future__ import annotations

from collections.abc import Sequence

from onnxpress.core.rows.call import MS, Call, rule
from onnxpress.core.rows.sizes import Size
from onnxpress.core.rows.values import Rows, Shape, Value


def _batch(call: Call, numbers: Sequence[int], ranks: Sequence[int] = (3, 4)) -> Rows | None:
    """The rows that all of these inputs have at axis 0; None where none has any."""
    values = [call.data(number) for number in numbers if call.given(number)]
    rows = next((value.rows for value in values if value.rows is not None), None)
    for value in values:
        if call.rank(value) not in ranks:
            raise call.refused("an input's rank is not one that is followed")
        if value.rows != rows or call.only_axis(value, 0) != rows:
            raise call.refused("an input has other rows than the queries", definite=value.rows is not None)
    return rows


def _mask(call: Call, number: int, rows: Rows | None) -> None:
    """A mask that is broadcast to (batch, heads, queries, keys)."""
    if not call.given(number):
        return
    mask = call.data(number)
    shape = call.shape(mask)
    if mask.rows is None and (len(shape) < 4 or shape[0] == 1 or rows is None):
        return
    if len(shape) != 4 or mask.rows != rows:
        raise call.refused("its mask has other rows than the queries", definite=mask.rows is not None)


@rule("Attention")
def _attention(call: Call) -> Sequence[Value]:
    """queries, keys, values: (batch, heads, length, size) or (batch, length, heads · size)."""
    rows = _batch(call, (0, 1, 2, 4, 5))
    _mask(call, 3, rows)
    if call.given(6):
        lengths = call.data(6)
        if lengths.rows != rows or call.rank(lengths) != 1:
            raise call.refused("its lengths have other rows than the queries")
    queries, keys, values = (call.shape(call.data(number)) for number in (0, 1, 2))
    count = call.integer("q_num_heads", 0)
    kept = call.integer("kv_num_heads", 0)
    size: Size = values[-1] if len(values) == 4 else call.fresh()
    if len(queries) == 4:
        result: Shape = (*queries[:3], size)
    else:
        same = len(values) == 3 and count == kept
        result = (*queries[:2], values[2] if same else call.fresh())
    heads = queries[1] if len(queries) == 4 else count
    of_keys = keys[1] if len(keys) == 4 else kept
    length = call.fresh()
    presents = [(queries[0], of_keys, length, call.fresh()), (queries[0], of_keys, length, size)]
    scores = (queries[0], heads, queries[-2], length)
    return [Value(shape, rows) for shape in (result, *presents, scores)]


@rule("RotaryEmbedding")
def _rotary(call: Call) -> Value:
    """Cosines and sines from a table by position, or one for each row and position."""
    value = call.data(0)
    rows = _batch(call, (0,))
    if call.given(3):
        if _batch(call, (3,), (2,)) != rows:
            raise call.refused("its positions have other rows than its input")
        for number in (1, 2):
            if call.rank(call.same(number, "a table")) != 2:
                raise call.refused("its table is none")
    else:
        for number in (1, 2):
            if _batch(call, (number,), (3,)) != rows:
                raise call.refused("its angles have other rows than its input")
    return Value(value.shape, value.rows)


@rule("MultiHeadAttention", domain=MS)
def _multi_head(call: Call) -> Sequence[Value]:
    rows = _batch(call, (0, 1, 2, 6, 7), (3, 4, 5))
    if call.given(3):
        call.same(3, "the bias")
    if call.given(4) and _batch(call, (4,), (1, 2, 3)) != rows:
        raise call.refused("its padding has other rows than the queries")
    _mask(call, 5, rows)
    if len(call.inputs) > 8:
        raise call.refused("its cache is not followed")
    queries = call.shape(call.data(0))
    if len(queries) != 3:
        raise call.refused("packed queries are not followed")
    of_values = call.shape(call.data(2)) if call.given(2) else ()
    size: Size = of_values[2] if len(of_values) == 3 else call.fresh()
    present = Value((queries[0], call.integer("num_heads", 1), call.fresh(), call.fresh()), rows)
    return [Value((*queries[:2], size), rows), present, present]


@rule("Attention", domain=MS)
def _packed(call: Call) -> Sequence[Value]:
    """(batch, length, size) by constant weights."""
    rows = _batch(call, (0,), (3,))
    for number in (1, 2):
        if call.given(number):
            call.same(number, "a weight")
    if call.given(3) and _batch(call, (3,), (2, 3, 4)) != rows:
        raise call.refused("its mask has other rows than its input")
    if call.given(4) or call.given(6):
        raise call.refused("its cache is not followed")
    _mask(call, 5, rows)
    shape = call.shape(call.data(0))
    return [Value((*shape[:2], call.fresh()), rows)]


@rule("EmbedLayerNormalization", domain=MS)
def _embedded(call: Call) -> Sequence[Value]:
    rows = _batch(call, (0, 1), (2,))
    for number in range(2, 7):
        if call.given(number):
            call.same(number, "a weight")
    for number in (7, 8):
        if call.given(number) and _batch(call, (number,), (2,)) != rows:
            raise call.refused("its positions have other rows than its words")
    shape = call.shape(call.data(0))
    whole = Value((*shape, call.shape(call.value(2))[-1]), rows)
    return [whole, Value((shape[0],), rows)]

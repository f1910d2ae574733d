"""Rows of different length, as a tokenizer leaves them: each ends in fills, as many as the longest of the batch needs.

Such a value is no row's own, for its length is the batch's. It becomes one again where at least as many fills as are
kept are put behind every row, and all rows are cut to that: then none reaches what its neighbours added. Rows that were
put behind the batch for the tokenizer's sake are cut off with it.
"""

from __future__ import annotations

from collections.abc import Sequence

from onnxpress.core.rows.call import Call
from onnxpress.core.rows.sizes import Polynomial
from onnxpress.core.rows.values import Element, Ragged, Rows, Value

LONGEST = "rows are padded to the longest of the batch"


def with_tail(call: Call, values: Sequence[Value], axis: int) -> Value | None:
    """Rows with a few constant ones put behind them; None where the values are not that."""
    first, rest = values[0], values[1:]
    if axis != 0 or first.rows != Rows(0) or first.numbers is not None or first.shape is None:
        return None
    tail = 0
    for value in rest:
        if not value.free or not value.shape or not isinstance(value.shape[0], int):
            return None
        tail += value.shape[0]
    return Value((call.symbols.rows + tail, *first.shape[1:]), Rows(0), ragged=Ragged(tail))


def tokens(call: Call, value: Value, fill: str) -> Value:
    """What a tokenizer makes of a list of texts."""
    tail = 0 if value.ragged is None else value.ragged.tail
    if value.taint is not None or value.rows != Rows(0) or call.rank(value) != 1:
        raise call.refused(LONGEST, definite=True)
    return Value((call.symbols.rows + tail, call.fresh()), Rows(0), ragged=Ragged(tail, fill))


def fills(call: Call, value: Value, shape: Sequence[Element]) -> Value | None:
    """One constant for each of as many rows as a batch with a tail has; None where it is not that."""
    if len(shape) != 2 or not isinstance(shape[0], Polynomial) or not value.free or len(value.elements or ()) != 1:
        return None
    (fill,), least, tail = value.elements or (None,), shape[1], shape[0] - call.symbols.rows
    if not isinstance(tail, int) or tail < 1 or not isinstance(least, int) or not isinstance(fill, int | str):
        return None
    return Value((shape[0], least), Rows(0), ragged=Ragged(tail, fill, least, bare=True))


def joined(call: Call, values: Sequence[Value], axis: int) -> Value:
    """Rows with fills of the same kind behind them."""
    first = values[0].ragged
    least = 0
    for value in values:
        if value.ragged is None or first is None or first.fill is None:
            raise call.refused(LONGEST, definite=True)
        same = value.ragged.tail == first.tail and value.ragged.fill == first.fill
        if axis != 1 or not same or not (value is values[0] or value.ragged.bare):
            raise call.refused(LONGEST, definite=True)
        least += value.ragged.least
    assert first is not None
    return Value((call.symbols.rows + first.tail, call.fresh()), Rows(0), ragged=Ragged(first.tail, first.fill, least))


def cut(call: Call, value: Value, bounds: dict[int, tuple[Element, Element, Element]]) -> Value:
    """Without the tail, and of each row no more than every row has."""
    ragged = value.ragged
    assert ragged is not None
    start, end, step = bounds.get(0, (0, None, 1))
    # The runtime takes an end of -0 for none at all; without a tail there is nothing to cut.
    whole = 0 not in bounds if ragged.tail == 0 else (start, end, step) == (0, -ragged.tail, 1)
    begin, stop, by = bounds.get(1, (0, None, 1))
    if not whole or (begin, by) != (0, 1) or not isinstance(stop, int) or not 0 <= stop <= ragged.least:
        raise call.refused(LONGEST, definite=True)
    return Value((call.symbols.rows, stop), Rows(0))

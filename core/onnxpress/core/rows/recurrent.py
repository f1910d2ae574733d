"""LSTM, GRU and RNN: along the time axis, each row of the batch axis for itself."""

from __future__ import annotations

from collections.abc import Sequence

from onnxpress.core.rows.call import Call, rule
from onnxpress.core.rows.sizes import Size
from onnxpress.core.rows.values import Rows, Value

_STATES = {"LSTM": (5, 6), "GRU": (5,), "RNN": (5,)}


@rule("LSTM", "GRU", "RNN")
def _recurrent(call: Call) -> Sequence[Value]:
    """(time, batch, values), or with layout 1 (batch, time, values)."""
    value = call.data(0)
    shape = call.shape(value)
    if len(shape) != 3:
        raise call.refused("its input is no sequence")
    first = call.integer("layout", 0) == 1
    batch = 0 if first else 1
    for number in (1, 2, 3, 7):
        if call.given(number):
            call.same(number, "a weight")
    rows = call.only_axis(value, batch)
    places = [(number, batch) for number in _STATES[call.node.operator]] + [(4, 0)]
    for number, axis in places:
        if not call.given(number):
            continue
        state = call.data(number)
        if state.rows != (None if rows is None else rows.at(axis)):
            raise call.refused("an initial state, or the lengths, have other rows than the sequences")
    directions = 2 if call.string("direction", "forward") == "bidirectional" else 1
    hidden: Size = call.integer("hidden_size", 0) or call.fresh()
    whole = (shape[0], shape[1], directions, hidden) if first else (shape[0], directions, shape[1], hidden)
    last = (shape[0], directions, hidden) if first else (directions, shape[1], hidden)
    state = Value(last, _at(rows, batch))
    return [Value(whole, _at(rows, 0 if first else 2)), state, state][: len(call.node.outputs)]


def _at(rows: Rows | None, axis: int) -> Rows | None:
    return None if rows is None else rows.at(axis)

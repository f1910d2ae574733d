"""Large requests to one model, read beside the event loop. Meanwhile they count as requests that wait."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import perf_counter

from onnxpress.serving import aside
from onnxpress.serving.batching.counts import Counts
from onnxpress.serving.exchange import CLIENT_GONE, Exchange, fail, no_room
from onnxpress.serving.protocol.inputs import Inputs, held_by
from onnxpress.serving.protocol.refusal import Refusal
from onnxpress.serving.protocol.requests import Reader
from onnxpress.serving.timing import Trace

Read = Callable[[Reader, bytes], Inputs]
"""how a body that is not V2 JSON is read; raises Refusal"""
_TIMED = 4096
"""bytes from which reading is timed; less is read in a few µs, and a look at the clock would be felt"""
Take = Callable[[Inputs, int, Exchange, bool, "float | None"], None]


def timed(read: Read, reader: Reader, body: bytes) -> Inputs:
    """What was read. Raises Refusal."""
    if len(body) < _TIMED:
        return read(reader, body)
    began = perf_counter()
    inputs = read(reader, body)
    inputs.reading = perf_counter() - began
    return inputs


class Reading:
    """`take` gets what was read: inputs, bytes of the body, exchange, False, and for how many seconds it is of use."""

    def __init__(self, reader: Reader, counts: Counts, name: str, take: Take) -> None:
        self._reader, self._counts, self._name, self._take = reader, counts, name, take
        self.under_way = 0

    def begin(
        self, body: bytes, exchange: Exchange, read: Read | None, seconds: float | None, trace: Trace | None
    ) -> None:
        """Have a body read, as V2 JSON unless `read` knows better. Its answer is of use for so many `seconds`."""
        self.under_way += 1
        done = partial(self._done, exchange, len(body), seconds, perf_counter(), trace)
        aside.call(partial(self._now, body, exchange, read), done)

    def _now(self, body: bytes, exchange: Exchange, read: Read | None) -> Inputs | None:
        if exchange.gone:
            return None
        return timed(Reader.read if read is None else read, self._reader, body)

    def _done(
        self,
        exchange: Exchange,
        size: int,
        seconds: float | None,
        came: float,
        trace: Trace | None,
        inputs: Inputs | None,
        error: BaseException | None,
    ) -> None:
        self.under_way -= 1
        if isinstance(error, Refusal):
            self._counts.refuse(perf_counter() - came)
            exchange.respond(error.status, error.body())
        elif error is not None:
            fail(exchange, error, f"{self._name}: reading a request")
        elif inputs is None or exchange.gone:
            self._counts.cancelled += 1
            exchange.respond(CLIENT_GONE, b"")
        elif not exchange.hold(max(0, held_by(inputs.values) - size)):
            self._counts.rejected += 1
            no_room(exchange)
        else:
            took = perf_counter() - came
            inputs.came, inputs.trace = came, trace
            if inputs.timeout is not None:
                inputs.timeout = max(0.0, inputs.timeout - took)
            try:
                self._take(inputs, size, exchange, False, None if seconds is None else max(0.0, seconds - took))
            except Exception as unforeseen:
                fail(exchange, unforeseen, f"{self._name}: a request")

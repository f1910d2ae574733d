"""One turn of the event loop, one batch.

Requests that were parsed in one turn of the loop are run together by a callback put at the turn's end: nobody waits for
a timer, and a lone request runs at once. A model whose runs are long runs in a thread (ONNX Runtime releases the GIL);
what arrives meanwhile is the next batch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Any, Protocol

import numpy as np

from onnxpress.serving.engine import Engine
from onnxpress.serving.protocol.errors import Headers, Refusal, error_body
from onnxpress.serving.protocol.infer import Codec, Inputs

Array = np.ndarray[Any, np.dtype[Any]]
_INLINE_SECONDS = 0.004
"""runs expected to be shorter stay on the loop's thread: handing over costs some 0.1 ms"""
_SMOOTHING = 0.2


class Exchange(Protocol):
    """Where an answer goes: a slot of a connection, or an ASGI call."""

    def respond(self, status: int, body: bytes, headers: Headers = ()) -> None:
        """Send the answer. Called once, on the event loop's thread."""


Waiting = tuple[Inputs, Exchange]
Answer = tuple[Exchange, int, bytes]


class Batcher:
    """The queue in front of one engine. Used from the event loop's thread only."""

    def __init__(
        self, engine: Engine, codec: Codec, *, max_rows: int, max_waiting: int, pool: ThreadPoolExecutor
    ) -> None:
        self._engine, self._codec, self._pool = engine, codec, pool
        self._batches = engine.manifest is not None and engine.manifest.batch_safe
        self._max_rows, self._max_waiting = max_rows, max_waiting
        self._waiting: list[Waiting] = []
        self._scheduled = False
        self._seconds_per_row = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None

    def submit(self, body: bytes, exchange: Exchange) -> None:
        """Decode a request and queue it for the end of this turn; a refusal is answered at once."""
        try:
            inputs = self._codec.decode(body)
        except Refusal as refusal:
            exchange.respond(refusal.status, refusal.body())
            return
        waiting = self._waiting
        if len(waiting) >= self._max_waiting:
            exchange.respond(503, error_body(f"the queue is full: {len(waiting)} requests are waiting; try again"))
            return
        waiting.append((inputs, exchange))
        if not self._scheduled:
            self._scheduled = True
            if self._loop is None:
                self._loop = asyncio.get_running_loop()
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Run everything that waits, batch after batch, until a batch has to go to a thread."""
        while self._waiting:
            batch = self._next_batch()
            if sum(inputs.rows for inputs, _ in batch) * self._seconds_per_row > _INLINE_SECONDS:
                assert self._loop is not None
                answers = self._loop.run_in_executor(self._pool, self._all_answers, batch)
                answers.add_done_callback(self._finish)
                return
            # Each answer goes out while the next is still being written.
            for exchange, status, body in self._answers(batch):
                exchange.respond(status, body)
        self._scheduled = False

    def _finish(self, answers: asyncio.Future[list[Answer]]) -> None:
        if not answers.cancelled():
            for exchange, status, body in answers.result():
                exchange.respond(status, body)
        self._turn()

    def _next_batch(self) -> list[Waiting]:
        """Take the first request and all that can share its run, in order, up to the row limit."""
        waiting = self._waiting
        first = waiting[0][0]
        if not self._batches or first.rows == 0:
            return [waiting.pop(0)]
        rows, tails = 0, first.tails
        batch: list[Waiting] = []
        rest: list[Waiting] = []
        for item in waiting:
            inputs = item[0]
            if inputs.tails == tails and inputs.rows and (not batch or rows + inputs.rows <= self._max_rows):
                batch.append(item)
                rows += inputs.rows
            else:
                rest.append(item)
        self._waiting = rest
        return batch

    def _all_answers(self, batch: list[Waiting]) -> list[Answer]:
        return list(self._answers(batch))

    def _answers(self, batch: list[Waiting]) -> Iterator[Answer]:
        """The answer of each request. A batch that fails is run again one by one: only the guilty request fails."""
        inputs = [item[0] for item in batch]
        try:
            feeds = self._codec.feeds(inputs)
            started = perf_counter()
            outputs = self._engine.run_all(feeds)
            self._measure(perf_counter() - started, sum(one.rows for one in inputs))
        except Exception as error:
            if len(batch) > 1:
                for item in batch:
                    yield from self._answers([item])
            elif isinstance(error, Refusal):
                yield batch[0][1], error.status, error.body()
            else:
                # The runtime refuses values that the signature allows, such as an index beyond a table's end.
                yield batch[0][1], 400, error_body(f"the model cannot answer this: {_first_line(error)}")
            return
        answered = 0
        try:
            for (_, exchange), body in zip(batch, self._codec.encode(inputs, outputs), strict=True):
                answered += 1
                yield exchange, 200, body
        except Exception as error:
            # An output that cannot be written must not leave the others, and the queue behind them, waiting for ever.
            reason = error_body(f"the answer cannot be written: {_first_line(error)}")
            for _, exchange in batch[answered:]:
                yield exchange, 500, reason

    def _measure(self, seconds: float, rows: int) -> None:
        per_row = seconds / max(rows, 1)
        # The first run sets the estimate; later ones move it, so that one slow run does not send all to the thread.
        self._seconds_per_row += (per_row - self._seconds_per_row) * (_SMOOTHING if self._seconds_per_row else 1.0)


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__

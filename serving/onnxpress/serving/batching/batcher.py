"""One turn of the event loop, one batch.

Requests that were parsed in one turn of the loop are run together by a callback put at the turn's end: nobody waits for
a timer, and a lone request runs at once. While several come in every turn, the next turn's are taken along: reading
them is due anyway, and the fixed cost of a run is shared by more. The first turn without any begins the run, and so
does one with as many requests as there are connections: nobody is left to ask.

A model whose runs are long runs in a thread (ONNX Runtime releases the GIL); what arrives meanwhile is the next batch.
With several instances so many batches run at a time, and what waits is shared among the threads that are free.
Before it runs, those are dropped that nobody waits for any more: the caller has gone, or the time that the request gave
itself is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from time import monotonic, perf_counter

from onnxpress.serving.batching.batch_run import Answer, BatchRun, Waiting, record
from onnxpress.serving.batching.counts import Counts
from onnxpress.serving.batching.forming import EmptyTensors, first_batch, still_wanted
from onnxpress.serving.batching.reading import Read, Reading, timed
from onnxpress.serving.batching.run_threads import RunThreads
from onnxpress.serving.engine import Engine
from onnxpress.serving.exchange import Exchange, fail
from onnxpress.serving.protocol.inputs import Inputs
from onnxpress.serving.protocol.refusal import Refusal, error_body
from onnxpress.serving.protocol.requests import LARGE, Reader
from onnxpress.serving.protocol.responses import Writer
from onnxpress.serving.protocol.strictness import strict
from onnxpress.serving.timing import Trace
from onnxpress.serving.traffic import Traffic

_SLOW = 16 << 10
"""bytes from which rows, CSV and the like are read beside the loop: a MiB of them takes up to half a second"""
_INLINE_SECONDS = 0.002
"""runs expected to be shorter stay on the loop's thread: handing one over costs some 0.1 ms, and nobody waits longer"""


_TURN_SECONDS = 0.002
"""how long a model with many batches waiting may keep the loop, before others have their turn"""


class Batcher:
    """The queue in front of one engine, answering as model `name`. Used from the event loop's thread only."""

    def __init__(
        self,
        engine: Engine,
        traffic: Traffic,
        *,
        name: str,
        version: int,
        max_rows: int,
        max_waiting: int,
        instances: int = 1,
        labels: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """`traffic` tells how many could still ask while requests are gathered; `instances` long runs go at a time.

        `labels`: output → the label of each of its classes, where the manifest has none.
        """
        self._engine = engine
        self._reader = Reader(engine.inputs, engine.outputs, engine.optional)
        self.batches = engine.rows.apart and self._reader.has_rows and max_rows > 1
        """whether requests are run together"""
        self._empty = EmptyTensors(engine, self._reader)
        self._texts = any(spec.dtype == "string" for spec in engine.inputs)
        self.max_rows, self._max_waiting, self.instances = max_rows, max_waiting, instances
        self.counts = Counts()
        told = engine.manifest.labels if engine.manifest else {}
        writer = Writer(name, version, engine.outputs, {**(labels or {}), **told})
        self._run = BatchRun(
            engine, self._reader, writer, self.counts, batch_safe=engine.rows.apart, batches=self.batches
        )
        self._traffic = traffic
        self._waiting: list[Waiting] = []
        self._reading = Reading(self._reader, self.counts, engine.name, self._take)
        self._scheduled = False  # a turn is to come, or no thread is free
        self._stalled = False  # the latter: the next thread that is free takes the turn
        self._seen = self._usual = 0  # requests that waited when the turn before looked; that ran together before
        self._waited = False  # something in the queue has been there since before this turn, or may expire in it
        self._came = 0.0  # when this turn's first request in the queue came; 0.0 before there is one
        self._context = strict()
        self._threads = RunThreads(engine, instances)

    def submit(
        self,
        body: bytes,
        exchange: Exchange,
        alone: bool = False,
        read: Read | None = None,
        seconds: float | None = None,
        trace: Trace | None = None,
        slow: bool = False,
    ) -> None:
        """Decode a request and run it at the end of this turn, or now if it is `alone`. Refusals go out at once.

        It is V2 JSON unless `read` knows better, which takes long where it is `slow`. It is not run once `seconds` are
        over, or what it says itself. What is timed of it is told to `trace`.
        """
        # Before decoding: a full queue must cost nothing.
        waiting = len(self._waiting) + self._reading.under_way
        if waiting >= self._max_waiting:
            self.counts.rejected += 1
            exchange.respond(503, error_body(f"the queue is full: {waiting} requests are waiting; try again"))
            return
        if len(body) >= LARGE or (slow and len(body) >= _SLOW):
            self._reading.begin(body, exchange, read, seconds, trace)
            return
        came = self._came
        if came == 0.0 or self._stalled or trace is not None:
            came = perf_counter()
        try:
            inputs = self._reader.read(body, alone) if read is None else timed(read, self._reader, body)
        except Refusal as refusal:
            self.counts.refuse(perf_counter() - came)
            exchange.respond(refusal.status, refusal.body())
            return
        inputs.came, inputs.trace = came, trace
        self._take(inputs, len(body), exchange, alone, seconds)

    def _take(self, inputs: Inputs, length: int, exchange: Exchange, alone: bool, seconds: float | None) -> None:
        """Run a request of so many bytes at the end of this turn, or now if it is `alone`."""
        if inputs.trace is not None:
            inputs.reading = inputs.reading or perf_counter() - inputs.came
            inputs.trace.came, inputs.trace.reading = inputs.came, inputs.reading
        refused = self._empty.refused(inputs)
        if refused:
            self.counts.refuse(perf_counter() - inputs.came)
            exchange.respond(400, error_body(refused))
            return
        if self._texts:
            inputs.size = length  # one text may be as long as a million others
        timeout, deadline = inputs.timeout, None
        if seconds is not None:
            timeout = seconds if timeout is None else min(seconds, timeout)
        if timeout is not None:
            deadline = monotonic() + timeout
            self._waited = True
        if alone and not self._scheduled and self._run.expected_alone(inputs) <= _INLINE_SECONDS:
            # Another turn of the loop, and a queue for one, cost a tenth of the time that a lone request takes.
            self.counts.ran(1)
            inputs.reading = 0.0  # its run begins with the reading
            status, answer, headers = self._context.run(self._run.alone, inputs, False, inputs.came)
            self.counts.latencies.alone(inputs)
            exchange.respond(status, answer, headers)
            return
        if alone:
            inputs.reading = perf_counter() - inputs.came
        self._came = inputs.came
        self._waiting.append(Waiting(inputs, exchange, deadline))
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._turn, context=self._context)

    @property
    def waiting(self) -> int:
        """Requests in the queue now."""
        return len(self._waiting) + self._reading.under_way

    @property
    def busy(self) -> bool:
        """Whether anything waits or is being run."""
        return self._scheduled or not self._threads.idle or self._reading.under_way > 0

    def close(self) -> None:
        """End the threads, if there are any; runs under way are finished first."""
        self._threads.close()

    def _turn(self) -> None:
        """Run everything that waits, batch after batch, until no thread is free for one that has to go there."""
        self._came = 0.0
        if not self._threads.free:
            self._stalled = True
            return
        count = len(self._waiting)
        grows = 1 < count < self.max_rows and count > self._seen
        if grows and self.batches and not _all_here(count, self._traffic.connections, self._usual):
            self._seen = count
            asyncio.get_running_loop().call_soon(self._turn, context=self._context)
            return
        self._seen, self._usual = 0, count
        try:
            self._run_waiting()
        except BaseException:
            self._scheduled = False  # a fault of ours costs its batch: without this nothing would be run again
            raise
        finally:
            self._came = 0.0

    def _run_waiting(self) -> None:
        spent = 0.0
        while self._waiting:
            if spent > _TURN_SECONDS:
                self._waited = True
                asyncio.get_running_loop().call_soon(self._turn, context=self._context)
                return
            if self._waited:
                self._waiting, self._waited = still_wanted(self._waiting, self.counts)
                if not self._waiting:
                    break
            batch = self._next_batch()
            answered: list[Exchange] = []
            try:
                expected = self._run_batch(batch, answered)
            except Exception as error:
                _fail(batch, answered, error, self._engine.name)
                continue
            if expected < 0.0:
                if not self._threads.free:
                    self._stalled = True
                    return
                continue
            spent += expected
        self._scheduled = False

    def _run_batch(self, batch: list[Waiting], answered: list[Exchange]) -> float:
        """Run a batch here and answer it, or hand it over. The seconds that were expected of it; -1 in the latter case.

        Those who got their answer are in `answered` where anything is raised.
        """
        count = len(batch)
        expected = self._run.expected_alone(batch[0].inputs) if count == 1 else self._run.expected(batch)
        if expected > _INLINE_SECONDS:
            share = batch if count == 1 else self._share(batch)
            try:
                self._hand_over(share)
            except Exception as error:  # no thread can be had
                _fail(share, answered, error, self._engine.name)
                return 0.0
            return -1.0
        self.counts.ran(count)
        if count == 1:  # the usual case of few clients, spared the generator
            exchange = batch[0].exchange
            status, body, headers = self._run.alone(batch[0].inputs, False)
            answered.append(exchange)
            exchange.respond(status, body, headers)
            self.counts.latencies.alone(batch[0].inputs)
            return expected
        # Each answer goes out while the next is still being written.
        for exchange, status, body, headers in self._run.answers(batch, False):
            answered.append(exchange)
            exchange.respond(status, body, headers)
        record(batch, self.counts.latencies)
        return expected

    def _share(self, batch: list[Waiting]) -> list[Waiting]:
        """What one of the free threads takes of it; the rest waits again, first in the queue.

        So the callers of one batch ask anew while another is run, and neither the loop nor the device idles.
        """
        share = -(-len(batch) // self._threads.free)
        self._waiting = batch[share:] + self._waiting
        return batch[:share]

    def _hand_over(self, batch: list[Waiting]) -> None:
        """Run the batch in a thread of the model; its answers come back to the loop, and a turn that had to wait."""
        self.counts.ran(len(batch))
        self._threads.call(
            lambda: list(self._run.answers(batch, True)),
            [one.exchange for one in batch],
            partial(self._finish, batch),
            self._context,
        )

    def _finish(self, batch: list[Waiting], answers: asyncio.Future[list[Answer]]) -> None:
        self._waited = True
        try:
            if answers.cancelled():
                return
            error = answers.exception()
            if error is not None:  # no memory for the answers, say
                _fail(batch, [], error, self._engine.name)
                return
            for exchange, status, body, headers in answers.result():
                exchange.respond(status, body, headers)
            record(batch, self.counts.latencies, perf_counter())
        finally:
            if self._stalled:
                self._stalled = False
                self._turn()

    def _next_batch(self) -> list[Waiting]:
        """Take the first request and all that can share its run, in order, up to the row limit."""
        waiting = self._waiting
        if len(waiting) == 1:
            self._waiting = []
            return waiting
        if not self.batches:
            return [waiting.pop(0)]
        batch, self._waiting = first_batch(waiting, self.max_rows)
        return batch


def _all_here(count: int, connections: int, usual: int) -> bool:
    """Whether nobody is left to ask. One connection may ask many at a time: as many, it seems, as it did before."""
    return count == connections or (connections == 1 and count >= usual > 0)


def _fail(batch: list[Waiting], answered: list[Exchange], error: BaseException, name: str) -> None:
    """A fault of ours, or no memory: it costs its batch, whose callers are told so."""
    for one in batch:
        if not any(exchange is one.exchange for exchange in answered):
            fail(one.exchange, error, f"{name}: a run")

"""One turn of the event loop, one batch.

Requests that were parsed in one turn of the loop are run together by a callback put at the turn's end: nobody waits for
a timer, and a lone request runs at once. While several come in every turn, the next turn's are taken along: reading
them is due anyway, and the fixed cost of a run is shared by more. The first turn without any begins the run, and so
does one with as many requests as there are connections: nobody is left to ask.

A model whose runs are long runs in a thread (ONNX Runtime releases the GIL); what arrives meanwhile is the next batch.
Before it runs, those are dropped that nobody waits for any more: the caller has gone, or the time that the request gave
itself is over.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from time import monotonic

from onnxpress.serving.engine import Down, Engine, plain
from onnxpress.serving.exchange import CLIENT_GONE, Exchange, Headers
from onnxpress.serving.protocol.inputs import Inputs
from onnxpress.serving.protocol.refusal import Refusal, error_body
from onnxpress.serving.protocol.requests import Reader
from onnxpress.serving.protocol.responses import Writer
from onnxpress.serving.protocol.strictness import strict
from onnxpress.serving.traffic import Traffic

_INLINE_SECONDS = 0.002
"""runs expected to be shorter stay on the loop's thread: handing one over costs some 0.1 ms, and nobody waits longer"""


_TURN_SECONDS = 0.002
"""how long a model with many batches waiting may keep the loop, before others have their turn"""
Answer = tuple[Exchange, int, bytes, Headers]
Read = Callable[[Reader, bytes], Inputs]
"""how a body that is not V2 JSON is read; raises Refusal"""


@dataclass
class Counts:
    """What has become of a model's requests."""

    batches: dict[int, int] = field(default_factory=dict)
    """requests in a batch → how many such batches were run"""
    failed: int = 0
    refused: int = 0
    rejected: int = 0
    expired: int = 0
    """not run: the request's own timeout was over"""
    cancelled: int = 0
    """not run: the caller had gone"""

    @property
    def answered(self) -> int:
        """Requests that were run, but for those that the model failed."""
        return sum(size * count for size, count in self.batches.items()) - self.failed


class _Waiting:
    """A request in the queue; past its `deadline` (by time.monotonic) nobody wants its answer."""

    __slots__ = ("deadline", "exchange", "inputs")

    def __init__(self, inputs: Inputs, exchange: Exchange, deadline: float | None) -> None:
        self.inputs, self.exchange, self.deadline = inputs, exchange, deadline


class Batcher:
    """The queue in front of one engine, answering as model `name`. Used from the event loop's thread only."""

    def __init__(
        self, engine: Engine, traffic: Traffic, *, name: str, version: int, max_rows: int, max_waiting: int
    ) -> None:
        """`traffic` tells how many could still ask while requests are gathered."""
        self._engine = engine
        self._reader = Reader(engine.inputs, engine.outputs)
        self._writer = Writer(name, version, engine.outputs)
        measured = engine.manifest is not None and engine.manifest.batch_safe
        self.batches = measured and self._reader.has_rows and max_rows > 1
        """whether requests are run together"""
        # Some operators kill the process when a tensor of no values reaches them. Of an exported model a batch of no
        # rows was measured; all else that is empty is refused where the graph has such an operator.
        fatal, answers_no_rows = engine.fatal_when_empty, engine.manifest is not None and engine.manifest.no_rows
        self._fatal = ", ".join(fatal)
        self._refuses_no_rows = self._reader.has_rows and not answers_no_rows and bool(engine.manifest or fatal)
        self._axes = slice(1, None) if self._reader.has_rows else slice(None)
        """those besides the rows"""
        self.max_rows, self._max_waiting = max_rows, max_waiting
        self.counts = Counts()
        self._traffic = traffic
        self._waiting: list[_Waiting] = []
        self._scheduled = False
        self._seen = 0  # requests that waited when the turn before looked
        self._waited = False  # something in the queue has been there since before this turn, or may expire in it
        self._context = strict()
        self._executor: ThreadPoolExecutor | None = None

    def submit(
        self,
        body: bytes,
        exchange: Exchange,
        alone: bool = False,
        read: Read | None = None,
        seconds: float | None = None,
    ) -> None:
        """Decode a request and run it at the end of this turn, or now if it is `alone`. Refusals go out at once.

        It is V2 JSON unless `read` knows better. It is not run once `seconds` are over, or what it says itself.
        """
        waiting = self._waiting
        # Before decoding: a full queue must cost nothing.
        if len(waiting) >= self._max_waiting:
            self.counts.rejected += 1
            exchange.respond(503, error_body(f"the queue is full: {len(waiting)} requests are waiting; try again"))
            return
        try:
            inputs = self._reader.read(body, alone) if read is None else read(self._reader, body)
        except Refusal as refusal:
            self.counts.refused += 1
            exchange.respond(refusal.status, refusal.body())
            return
        if inputs.rows == 0 and self._refuses_no_rows:
            self.counts.refused += 1
            exchange.respond(400, error_body("a batch of no rows; this model was not shown to answer one"))
            return
        if self._fatal and any(0 in shape[self._axes] for shape in inputs.shapes):
            self.counts.refused += 1
            exchange.respond(400, error_body(f"a tensor of no values; the runtime would die of it in {self._fatal}"))
            return
        timeout, deadline = inputs.timeout, None
        if seconds is not None:
            timeout = seconds if timeout is None else min(seconds, timeout)
        if timeout is not None:
            deadline = monotonic() + timeout
            self._waited = True
        if alone and not self._scheduled and self._engine.expected_seconds(inputs.size) <= _INLINE_SECONDS:
            # Another turn of the loop, and a queue for one, cost a tenth of the time that a lone request takes.
            self.counts.batches[1] = self.counts.batches.get(1, 0) + 1
            status, answer, headers = self._context.run(self._answer, inputs)
            exchange.respond(status, answer, headers)
            return
        waiting.append(_Waiting(inputs, exchange, deadline))
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._turn, context=self._context)

    @property
    def waiting(self) -> int:
        """Requests in the queue now."""
        return len(self._waiting)

    @property
    def busy(self) -> bool:
        """Whether anything waits or is being run."""
        return self._scheduled

    def close(self) -> None:
        """End the thread, if there is one; a run under way is finished first."""
        if self._executor is not None:
            self._executor.shutdown(wait=True)

    def _turn(self) -> None:
        """Run everything that waits, batch after batch, until one has to go to the thread."""
        count = len(self._waiting)
        if self.batches and 1 < count < self.max_rows and count > self._seen and count != self._traffic.connections:
            self._seen = count
            asyncio.get_running_loop().call_soon(self._turn, context=self._context)
            return
        self._seen = 0
        try:
            self._run_waiting()
        except BaseException:
            # A fault of ours costs its batch, never the model: without this nothing would be run again.
            self._scheduled = False
            raise

    def _run_waiting(self) -> None:
        batches, spent = self.counts.batches, 0.0
        while self._waiting:
            if spent > _TURN_SECONDS:
                self._waited = True
                asyncio.get_running_loop().call_soon(self._turn, context=self._context)
                return
            if self._waited:
                self._drop()
                if not self._waiting:
                    break
            batch = self._next_batch()
            count = len(batch)
            batches[count] = batches.get(count, 0) + 1
            size = batch[0].inputs.size if count == 1 else sum([one.inputs.size for one in batch])
            expected = self._engine.expected_seconds(size)
            if expected > _INLINE_SECONDS:
                self._hand_over(batch)
                return
            spent += expected
            if count == 1:  # the usual case of few clients, spared the generator
                one = batch[0]
                status, body, headers = self._answer(one.inputs)
                one.exchange.respond(status, body, headers)
                continue
            # Each answer goes out while the next is still being written.
            for exchange, status, body, headers in self._answers(batch):
                exchange.respond(status, body, headers)
        self._scheduled = False

    def _hand_over(self, batch: list[_Waiting]) -> None:
        """Run the batch in the model's thread; its answers, and the next turn, come back to the loop."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, thread_name_prefix=self._engine.name)
            self._executor_context = strict()
        loop = asyncio.get_running_loop()
        answers = loop.run_in_executor(self._executor, self._executor_context.run, lambda: list(self._answers(batch)))
        answers.add_done_callback(partial(self._finish, batch), context=self._context)

    def _finish(self, batch: list[_Waiting], answers: asyncio.Future[list[Answer]]) -> None:
        self._waited = True
        try:
            if answers.cancelled():
                return
            error = answers.exception()
            if error is not None:  # no memory for the answers, say
                print(f"{self._engine.name}: a run failed: {type(error).__name__}: {error}", file=sys.stderr)
                message = error_body(f"the run failed: {type(error).__name__}")
                for one in batch:
                    one.exchange.respond(500, message)
                return
            for exchange, status, body, headers in answers.result():
                exchange.respond(status, body, headers)
        finally:
            self._turn()

    def _drop(self) -> None:
        """Take out what nobody waits for any more."""
        self._waited = False
        kept: list[_Waiting] = []
        now = monotonic()
        for one in self._waiting:
            if one.exchange.gone:
                self.counts.cancelled += 1
                one.exchange.respond(CLIENT_GONE, b"")
            elif one.deadline is not None and one.deadline <= now:
                self.counts.expired += 1
                one.exchange.respond(504, error_body("the request's timeout was over before it could be run"))
            else:
                kept.append(one)
                self._waited |= one.deadline is not None
        self._waiting = kept

    def _next_batch(self) -> list[_Waiting]:
        """Take the first request and all that can share its run, in order, up to the row limit."""
        waiting = self._waiting
        if len(waiting) == 1:
            self._waiting = []
            return waiting
        if not self.batches:
            return [waiting.pop(0)]
        tails, rows = waiting[0].inputs.tails, 0
        batch: list[_Waiting] = []
        rest: list[_Waiting] = []
        for one in waiting:
            inputs = one.inputs
            if not batch or (inputs.tails == tails and rows + inputs.rows <= self.max_rows):
                batch.append(one)
                rows += inputs.rows
            else:
                rest.append(one)
        self._waiting = rest
        return batch

    def _answers(self, batch: list[_Waiting]) -> Iterator[Answer]:
        """The answer of each request. Only the guilty one fails.

        What makes no array is refused, and the rest run together. A batch that fails in the model is run one by one.
        """
        if len(batch) > 1:
            requests = [one.inputs for one in batch]
            try:
                feeds = self._reader.feeds(requests)
            except Exception:
                yield from self._apart(batch)
                return
            done = 0
            try:
                outputs = self._engine.run_all(feeds, sum([inputs.size for inputs in requests]))
                if requests[0].form is None:
                    for body in self._writer.together(requests, outputs):
                        yield batch[done].exchange, 200, body, ()
                        done += 1
                else:
                    for body, headers in self._writer.formed(requests, outputs):
                        yield batch[done].exchange, 200, body, headers
                        done += 1
            except Exception:
                batch = batch[done:]
            else:
                return
        yield from self._one_by_one(batch)

    def _one_by_one(self, batch: list[_Waiting]) -> Iterator[Answer]:
        for one in batch:
            yield one.exchange, *self._answer(one.inputs)

    def _apart(self, batch: list[_Waiting]) -> Iterator[Answer]:
        """The answers of requests that make no arrays together: those that make none alone are told so."""
        fitting = []
        for one in batch:
            try:
                self._reader.feeds([one.inputs])
            except Exception:
                yield one.exchange, *self._answer(one.inputs)
            else:
                fitting.append(one)
        yield from self._answers(fitting) if len(fitting) < len(batch) else self._one_by_one(batch)

    def _answer(self, inputs: Inputs) -> tuple[int, bytes, Headers]:
        """Status, body and headers for one request, run alone. Raises nothing: one must not stop the queue."""
        try:
            outputs = self._engine.run_all(self._reader.feeds([inputs]), inputs.size)
        except Refusal as refusal:
            self.counts.failed += 1
            return refusal.status, refusal.body(), ()
        except Down as error:
            self.counts.failed += 1
            return 503, error_body(error.what), ()
        except Exception as error:
            self.counts.failed += 1
            # The runtime refuses values that the signature allows, such as an index beyond a table's end.
            return 400, error_body(f"the model cannot answer this: {plain(error)}"), ()
        try:
            if inputs.form is None:
                return 200, self._writer.alone(inputs, outputs), ()
            body, headers = inputs.form.write(self._writer, inputs, outputs)
            return 200, body, headers
        except Exception as error:
            self.counts.failed += 1
            message = f"the model's answer cannot be written: {plain(error)}"
            print(f"{self._engine.name}: {message}", file=sys.stderr)
            return 500, error_body(message), ()

"""How a batch is run, answered and timed: together where that can be, and only the guilty one fails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import perf_counter

from onnxpress.serving import log
from onnxpress.serving.batching.counts import Counts
from onnxpress.serving.batching.latencies import Latencies
from onnxpress.serving.engine import Down, Engine, plain
from onnxpress.serving.engine.engine import Shapes
from onnxpress.serving.exchange import CLIENT_GONE, Exchange, Headers
from onnxpress.serving.protocol.inputs import Inputs
from onnxpress.serving.protocol.refusal import Refusal, error_body
from onnxpress.serving.protocol.requests import Reader
from onnxpress.serving.protocol.responses import Writer
from onnxpress.serving.timing import RunTimes

Answer = tuple[Exchange, int, bytes, Headers]


class Waiting:
    """A request in the queue; past its `deadline` (by time.monotonic) nobody wants its answer."""

    __slots__ = ("deadline", "exchange", "inputs")

    def __init__(self, inputs: Inputs, exchange: Exchange, deadline: float | None) -> None:
        self.inputs, self.exchange, self.deadline = inputs, exchange, deadline


class BatchRun:
    """The runs of one engine, which are counted in `counts`. Knows nothing of a queue, and may be used in a thread.

    `batch_safe`: it was measured that a row's answer does not depend on the others in its batch. `batches`: requests
    are run together.
    """

    def __init__(
        self, engine: Engine, reader: Reader, writer: Writer, counts: Counts, *, batch_safe: bool, batches: bool
    ) -> None:
        self._batches = batches
        self._model, self._version = writer.name, writer.version
        self._lone = RunTimes(writer.name, writer.version, 1, 0.0)
        self._engine, self._reader, self._writer, self._counts = engine, reader, writer, counts
        # A run is as short as one before it of the same shapes. Where rows were measured to be answered apart, and
        # nothing else is open, so many rows take so many times as long.
        open_sizes = any(isinstance(size, str) for spec in engine.inputs for size in spec.shape[1:])
        self._rows_alone = batch_safe and reader.has_rows and not open_sizes

    def expected(self, batch: Sequence[Waiting]) -> float:
        """Seconds that a run of these requests together will take, as far as is known; else infinite."""
        if batch[0].inputs.overrides is not None:
            return float("inf")
        shapes = None if self._rows_alone else self._shapes(batch[0].inputs)
        return self._engine.expected_seconds(sum([one.inputs.size for one in batch]), shapes)

    def expected_alone(self, inputs: Inputs) -> float:
        """Seconds that a run of this request alone will take; what it overrides can change that without end."""
        if inputs.overrides is not None:
            return float("inf")
        return self._engine.expected_seconds(inputs.size, None if self._rows_alone else self._shapes(inputs))

    def _shapes(self, inputs: Inputs) -> Shapes:
        """What tells runs apart whose time for a value may differ."""
        if self._batches and inputs.tails is not None:
            return inputs.tails
        return tuple([tuple(shape) for shape in inputs.shapes])

    def answers(self, batch: list[Waiting], limited: bool) -> Iterator[Answer]:
        """The answer of each request. Only the guilty one fails. `limited` runs can be ended, see Engine.run_all.

        What makes no array is refused, and the rest run together. A batch that fails in the model is run one by one.
        """
        if len(batch) > 1:
            requests = [one.inputs for one in batch]
            run = RunTimes(self._model, self._version, len(batch), perf_counter())
            try:
                feeds = self._reader.feeds(requests)
            except Exception:
                yield from self._apart(batch, limited)
                return
            run.fed = perf_counter()
            done = 0
            try:
                size = sum([inputs.size for inputs in requests])
                shapes = None if self._rows_alone else self._shapes(requests[0])
                outputs = self._engine.run_all(feeds, size, shapes, limited=limited, times=run)
                for inputs in requests:
                    _has_part(inputs, run)
                run.failed = False
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
            run.written = perf_counter()
            if done == len(requests):
                return
        yield from self._one_by_one(batch, limited)

    def _one_by_one(self, batch: list[Waiting], limited: bool) -> Iterator[Answer]:
        for one in batch:
            _leaves(one.inputs)
            if limited and one.exchange.gone:  # perhaps for its sake the run that they shared was ended
                self._counts.cancelled += 1
                self._counts.gone += 1
                yield one.exchange, CLIENT_GONE, b"", ()
            else:
                yield one.exchange, *self.alone(one.inputs, limited)

    def _apart(self, batch: list[Waiting], limited: bool) -> Iterator[Answer]:
        """The answers of requests that make no arrays together: those that make none alone are told so."""
        fitting = []
        for one in batch:
            try:
                self._reader.feeds([one.inputs])
            except Exception:
                yield one.exchange, *self.alone(one.inputs, limited)
            else:
                fitting.append(one)
        yield from (self.answers(fitting, limited) if len(fitting) < len(batch) else self._one_by_one(batch, limited))

    def alone(self, inputs: Inputs, limited: bool, began: float | None = None) -> tuple[int, bytes, Headers]:
        """Status, body and headers for one request, run alone. Raises nothing: one must not stop the queue.

        `began`: where the time was just looked at. Its times are then for whoever looks at once: the next such request
        overwrites them.
        """
        if began is None or inputs.trace is not None:
            run = RunTimes(self._model, self._version, 1, perf_counter() if began is None else began)
            _has_part(inputs, run)
        else:
            run = inputs.run = self._lone
            run.began, run.failed = began, True
        try:
            feeds = self._reader.feeds([inputs])
            run.fed = perf_counter()
            shapes = None if self._rows_alone else self._shapes(inputs)
            measured = inputs.size if inputs.overrides is None else 0
            outputs = self._engine.run_all(feeds, measured, shapes, limited=limited, times=run)
        except Refusal as refusal:
            self._counts.failed += 1
            return refusal.status, refusal.body(), ()
        except Down as error:
            self._counts.failed += 1
            return 503, error_body(error.what), ()
        except (MemoryError, RecursionError) as error:
            self._counts.failed += 1
            return 500, error_body(f"the server failed at it: {type(error).__name__}"), ()
        except Exception as error:
            self._counts.failed += 1
            # The runtime refuses values that the signature allows, such as an index beyond a table's end.
            return 400, error_body(f"the model cannot answer this: {plain(error)}"), ()
        headers: Headers = ()
        try:
            if inputs.form is None:
                body = self._writer.alone(inputs, outputs)
            else:
                body, headers = inputs.form.write(self._writer, inputs, outputs)
        except Refusal as refusal:  # the form that was asked for does not go with what the model answers
            self._counts.failed += 1
            return refusal.status, refusal.body(), ()
        except Exception as error:
            self._counts.failed += 1
            message = f"the model's answer cannot be written: {plain(error)}"
            log.say(f"{self._engine.name}: {message}")
            return 500, error_body(message), ()
        run.written = perf_counter()
        run.failed = False
        return 200, body, headers


def _has_part(inputs: Inputs, run: RunTimes) -> None:
    inputs.run = run
    if inputs.trace is not None:
        inputs.trace.run = run
        run.traced += 1


def _leaves(inputs: Inputs) -> None:
    """Its run goes on without it, and is whole without its trace."""
    if inputs.run is not None and inputs.trace is not None:
        inputs.run.traced -= 1
        inputs.trace.run = None
    inputs.run = None


def record(batch: list[Waiting], latencies: Latencies, now: float | None = None) -> None:
    """Count what they took. `now`: when they were answered, where that was later than the writing.

    Usually all shared one run; where one could not be answered with the others, some had their own. Those who came in
    one turn of the loop are counted together. On the event loop's thread.
    """
    shared: RunTimes | None = None
    requests = rows = alike = 0
    came = reading = 0.0
    for one in batch:
        inputs = one.inputs
        run = inputs.run
        if run is None:  # its caller had gone
            continue
        if run.failed:
            latencies.failed_seconds += (run.written if now is None else now) - inputs.came
            continue
        if run is not shared or inputs.came != came or inputs.reading != reading:
            if shared is not None:
                latencies.add(shared, came, reading, shared.written if now is None else now, alike)
                if run is not shared:
                    latencies.ran(shared, requests, rows)
                    requests = rows = 0
            shared, came, reading, alike = run, inputs.came, inputs.reading, 0
        alike += 1
        requests += 1
        rows += inputs.rows
        if inputs.trace is not None:
            latencies.show(inputs.trace, run, came, reading, run.written if now is None else now)
    if shared is not None:
        latencies.add(shared, came, reading, shared.written if now is None else now, alike)
        latencies.ran(shared, requests, rows)

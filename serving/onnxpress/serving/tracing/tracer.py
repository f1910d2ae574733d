"""A traced request on its way: its ids, what was asked and answered, and when; kept until its spans are made.

Nothing of OpenTelemetry is needed here: on the event loop a traced request costs its ids and a place in a queue.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from time import perf_counter

from onnxpress.serving.timing import Trace, parsed
from onnxpress.serving.tracing.sampling import Sampler

SAMPLED = 1


class Traced:
    """One request. `parent` is the caller's span, "" where there is none; `span` this server's; `state` its tracestate.

    It was `asked` by method and target, and `answered` with a status. `began` and `ended` by time.perf_counter.
    `traceparent` is the header that says this server's span to whoever comes next.
    """

    __slots__ = ("answered", "asked", "began", "ended", "parent", "span", "state", "trace", "traceparent")

    def __init__(self, trace: str, parent: str, state: str, asked: tuple[bytes, bytes]) -> None:
        self.trace = Trace(trace)
        self.parent, self.span, self.state = parent, os.urandom(8).hex(), state
        self.traceparent = f"00-{trace}-{self.span}-01".encode()
        self.asked, self.answered = asked, 0
        self.began = self.ended = perf_counter()


class Tracer:
    """Begins and ends traced requests. `done` gets each when it is answered.

    Used from the event loop's thread.
    """

    def __init__(self, sampler: Sampler, done: Callable[[Traced], None]) -> None:
        self._sampler, self._done = sampler, done
        self._open: dict[bytes, Traced] = {}

    @property
    def begins_traces(self) -> bool:
        """Whether requests are traced whose callers say nothing of it."""
        return self._sampler.ratio > 0.0

    def begin(self, traceparent: bytes, state: bytes, method: bytes, target: bytes) -> Traced | None:
        """What is kept of a request; None where it is not traced."""
        found = parsed(traceparent)
        trace, parent = (os.urandom(16).hex(), "") if found is None else found[:2]
        if not self._sampler.takes(trace, None if found is None else bool(found[2] & SAMPLED)):
            return None
        told = state.decode("latin-1") if found is not None else ""
        traced = Traced(trace, parent, told, (method, target))
        self._open[traced.traceparent] = traced
        return traced

    def trace_of(self, traceparent: bytes) -> Trace | None:
        """What is timed of the request that has this header here; see Router."""
        traced = self._open.get(traceparent)
        return None if traced is None else traced.trace

    def end(self, traced: Traced, status: int) -> None:
        """It is answered. What is watched is answered more than once; the first answer is its end."""
        if self._open.pop(traced.traceparent, None) is None:
            return
        traced.answered, traced.ended = status, perf_counter()
        self._done(traced)

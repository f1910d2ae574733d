"""Before all others: a request that is traced gets a span of this server's, and its caller the id of it."""

from __future__ import annotations

from collections.abc import Mapping

from onnxpress.serving.exchange import Exchange, ExchangeWrapper, Handler, Headers
from onnxpress.serving.tracing.tracer import Traced, Tracer

_TRACEPARENT, _TRACESTATE = b"traceparent", b"tracestate"


class TraceMiddleware:
    """What comes next sees this server's span as the traceparent. Requests that are not traced pass as they are."""

    def __init__(self, handler: Handler, tracer: Tracer) -> None:
        self._handler, self._tracer = handler, tracer
        self.headers_read = handler.headers_read | {_TRACEPARENT, _TRACESTATE}
        self.traffic = handler.traffic
        if not tracer.begins_traces:  # without the header there is nothing to do here: not a call more
            self.submit = handler.submit  # type: ignore[method-assign]

    def submit(self, method: bytes, target: bytes, body: bytes, exchange: Exchange, alone: bool = False) -> None:
        """As the handler's."""
        traced = self._tracer.begin(b"", b"", method, target)
        if traced is None:
            self._handler.submit(method, target, body, exchange, alone)
        else:
            self._go_on(traced, {}, body, exchange)

    def submit_with(
        self, headers: Mapping[bytes, bytes], method: bytes, target: bytes, body: bytes, exchange: Exchange
    ) -> None:
        """As the handler's."""
        traced = None
        if _TRACEPARENT in headers or self._tracer.begins_traces:
            state = headers.get(_TRACESTATE, b"")
            traced = self._tracer.begin(headers.get(_TRACEPARENT, b""), state, method, target)
        if traced is None:
            self._handler.submit_with(headers, method, target, body, exchange)
        else:
            self._go_on(traced, headers, body, exchange)

    def _go_on(self, traced: Traced, headers: Mapping[bytes, bytes], body: bytes, exchange: Exchange) -> None:
        method, target = traced.asked
        headers = {**headers, _TRACEPARENT: traced.traceparent}
        try:
            self._handler.submit_with(headers, method, target, body, _Answering(exchange, self._tracer, traced))
        except Exception:  # the transport answers
            self._tracer.end(traced, 500)
            raise


class _Answering(ExchangeWrapper):
    """Ends the traced request when its answer comes."""

    def __init__(self, exchange: Exchange, tracer: Tracer, traced: Traced) -> None:
        super().__init__(exchange)
        self._tracer, self._traced = tracer, traced

    def respond(self, status: int, body: bytes, headers: Headers = ()) -> None:
        self._exchange.respond(status, body, (*headers, (_TRACEPARENT, self._traced.traceparent)))
        self._tracer.end(self._traced, status)

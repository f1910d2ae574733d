"""One line of JSON for every answer: when, which request, what, how it ended and why, and how long it took."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping

import msgspec

from onnxpress.serving.exchange import Exchange, ExchangeWrapper, Handler, Headers
from onnxpress.serving.timing import parsed

_REQUEST_ID, _TRACEPARENT = b"x-request-id", b"traceparent"
_SHOWN = 200
_SHOWN_REASON = 1000


class _Error(msgspec.Struct):
    error: str = ""


class AccessLogMiddleware:
    """Before a handler: a line for each answer. A caller's X-Request-Id is kept, or one is made, and sent back."""

    def __init__(self, handler: Handler, write: Callable[[str], object]) -> None:
        self._handler, self._write = handler, write
        self.headers_read = handler.headers_read | {_REQUEST_ID, _TRACEPARENT}
        self.traffic = handler.traffic

    def submit(self, method: bytes, target: bytes, body: bytes, exchange: Exchange, alone: bool = False) -> None:
        """As the handler's."""
        self._handler.submit(method, target, body, _Timed(exchange, self._write, method, target, None, None), alone)

    def submit_with(
        self, headers: Mapping[bytes, bytes], method: bytes, target: bytes, body: bytes, exchange: Exchange
    ) -> None:
        """As the handler's."""
        given, trace = headers.get(_REQUEST_ID), headers.get(_TRACEPARENT)
        timed = _Timed(exchange, self._write, method, target, given, None if trace is None else parsed(trace))
        self._handler.submit_with(headers, method, target, body, timed)


class _Timed(ExchangeWrapper):
    """Writes its line when the answer comes."""

    def __init__(
        self,
        exchange: Exchange,
        write: Callable[[str], object],
        method: bytes,
        target: bytes,
        given: bytes | None,
        trace: tuple[str, str, int] | None,
    ) -> None:
        super().__init__(exchange)
        self._trace = trace
        self._write, self._method, self._target = write, method, target
        shown = given[:_SHOWN].decode("latin-1") if given else ""
        # What is written back must not hold what ends a header, or a terminal's escapes.
        self._id = shown if shown.isascii() and shown.isprintable() and shown else secrets.token_hex(8)
        self._started = time.perf_counter()

    def respond(self, status: int, body: bytes, headers: Headers = ()) -> None:
        line: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "id": self._id,
            "method": self._method.decode("latin-1"),
            "path": self._target[:_SHOWN].decode("latin-1"),
            "status": status,
            "bytes": len(body),
            "seconds": round(time.perf_counter() - self._started, 6),
        }
        if self._trace is not None:
            line["trace_id"], line["span_id"] = self._trace[:2]
        if status >= 400:
            line["error"] = _reason(body)
        self._write(msgspec.json.encode(line).decode() + "\n")
        self._exchange.respond(status, body, (*headers, (_REQUEST_ID, self._id.encode())))


def _reason(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Error).error[:_SHOWN_REASON]
    except msgspec.MsgspecError:
        return ""

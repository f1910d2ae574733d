"""Cross-origin requests: which web pages may let their visitors' browsers ask this server. By default none."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from onnxpress.serving.exchange import Exchange, ExchangeWrapper, Handler, Headers
from onnxpress.serving.protocol.refusal import error_body

_ORIGIN, _METHOD, _HEADERS = b"origin", b"access-control-request-method", b"access-control-request-headers"
_ANY = "*"
_VARY = (b"vary", b"origin")
_PREFLIGHT = (
    (b"access-control-allow-methods", b"GET, POST"),
    (
        b"access-control-allow-headers",
        b"authorization, content-encoding, content-type, inference-header-content-length, x-request-id",
    ),
    (b"access-control-max-age", b"600"),
)
_EXPOSED = (b"access-control-expose-headers", b"inference-header-content-length, retry-after, x-request-id")


class CorsMiddleware:
    """Before a handler: lets pages of the `origins` ask (`https://host[:port]`, or `*` for all).

    A browser asks first, without its token, whether it may ask: so this stands before the token's check.
    """

    def __init__(self, handler: Handler, origins: Collection[str]) -> None:
        self._handler = handler
        self._any = _ANY in origins
        self._origins = {origin.rstrip("/").lower().encode() for origin in origins}
        self.headers_read = handler.headers_read | {_ORIGIN, _METHOD, _HEADERS}
        self.traffic = handler.traffic
        # Without an Origin it is no page's request, and there is nothing to do here.
        self.submit = handler.submit

    def submit_with(
        self, headers: Mapping[bytes, bytes], method: bytes, target: bytes, body: bytes, exchange: Exchange
    ) -> None:
        """As the handler's, with what a browser wants to read in the answer's headers."""
        origin = headers.get(_ORIGIN, b"")
        allowed = bool(origin) and (self._any or origin.lower() in self._origins)
        if method == b"OPTIONS" and origin and _METHOD in headers:
            if allowed:
                exchange.respond(200, b"", (*self._allowing(origin), *_PREFLIGHT))
            else:
                exchange.respond(403, error_body("pages of this origin may not ask here; see --allow-origin"), (_VARY,))
            return
        if allowed:
            exchange = _Allowed(exchange, (*self._allowing(origin), _EXPOSED))
        self._handler.submit_with(headers, method, target, body, exchange)

    def _allowing(self, origin: bytes) -> Headers:
        if self._any:
            return ((b"access-control-allow-origin", b"*"),)
        return (b"access-control-allow-origin", origin), _VARY


class _Allowed(ExchangeWrapper):
    """An exchange whose answer the page may read."""

    def __init__(self, exchange: Exchange, headers: Headers) -> None:
        super().__init__(exchange)
        self._headers = headers

    def respond(self, status: int, body: bytes, headers: Headers = ()) -> None:
        self._exchange.respond(status, body, (*headers, *self._headers))

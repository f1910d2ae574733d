"""The seam between transports and what answers them: a request goes to a handler, its answer to an exchange."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from onnxpress.serving import log
from onnxpress.serving.traffic import Traffic

Headers = tuple[tuple[bytes, bytes], ...]
"""of an answer: names, in lower case, and values"""

GRPC = b"GRPC"
"""stands for the method of a gRPC call, whose body is its message, and whose answer is one, or JSON with an error"""
CLIENT_GONE = 499
"""the status for the log and the metrics, as in nginx; nobody reads the answer"""
_SHOWN = 200


class Exchange(Protocol):
    """Where an answer goes: its place in a connection's order, or an ASGI call."""

    @property
    def gone(self) -> bool:
        """Whether the caller is no longer there to read an answer."""

    def hold(self, size: int) -> bool:
        """Count so many bytes more as held for this request until it is answered; False where there is no room.

        Of its body they are counted already. On the event loop's thread.
        """

    def respond(self, status: int, body: bytes, headers: Headers = ()) -> None:
        """Send the answer. Called once, on the event loop's thread. Raises nothing: what cannot be sent is given up."""


_NO_THREAD = "can't start new thread"
"""what Python says then"""


def fail(exchange: Exchange, error: BaseException, what: str = "the request") -> None:
    """Answer 500 for what nobody expected (no memory, say): a caller must not wait for ever, nor hold what it has.

    Where the system gives no thread it is 503: others have them now.
    """
    log.say(f"{what} failed: {type(error).__name__}: {str(error)[:_SHOWN]}")
    if isinstance(error, RuntimeError) and str(error) == _NO_THREAD:
        exchange.respond(503, b'{"error":"no thread can be had now; try again"}')
        return
    exchange.respond(
        500, b'{"error":"the server failed at it: %b; its log may say more"}' % type(error).__name__.encode()
    )


def no_room(exchange: Exchange) -> None:
    """Answer a request that would hold more than all together may."""
    exchange.respond(503, b'{"error":"other requests hold too much already; try again"}')


class Handler(Protocol):
    """What a transport sees: the router, or a middleware that stands before one."""

    @property
    def headers_read(self) -> frozenset[bytes]:
        """Lower-case names of the headers that submit_with wants to see."""

    @property
    def traffic(self) -> Traffic:
        """What the transport keeps up to date."""

    def submit(self, method: bytes, target: bytes, body: bytes, exchange: Exchange, alone: bool = False) -> None:
        """Answer one request, now or at the end of this turn of the loop. `target` is the path as it was sent.

        `alone` says that no other request can arrive in this turn, so that there is nothing to wait for.
        """

    def submit_with(
        self, headers: Mapping[bytes, bytes], method: bytes, target: bytes, body: bytes, exchange: Exchange
    ) -> None:
        """`submit` for a request that has some of the headers in `headers_read`."""


class ExchangeWrapper:
    """An exchange around another, for those that change what is answered on its way out."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    @property
    def gone(self) -> bool:
        """See Exchange."""
        return self._exchange.gone

    def hold(self, size: int) -> bool:
        """See Exchange."""
        return self._exchange.hold(size)

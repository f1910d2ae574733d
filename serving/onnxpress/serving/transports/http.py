"""A server of HTTP/1.1 and HTTP/2: the connections that are open, and the clock that ends the slow ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from onnxpress.serving import log
from onnxpress.serving.exchange import Handler
from onnxpress.serving.settings import ConnectionLimits
from onnxpress.serving.transports.connection import Connection
from onnxpress.serving.transports.shared import Shared

if TYPE_CHECKING:
    from onnxpress.serving.loads import Share
    from onnxpress.serving.transports.http2.connection import Http2Connection

_SWEEP_SECONDS = 1.0


class Server:
    """All connections whose requests go to one handler."""

    def __init__(self, handler: Handler, limits: ConnectionLimits) -> None:
        self.limits = limits
        self.shared = Shared(handler, limits)
        self.connections: set[Connection | Http2Connection] = set()
        self.on_idle: Callable[[], None] | None = None
        """called when nothing is owed any more, while the server is draining"""
        self.share: Share | None = None
        """of the connections of all workers, where there are several"""
        self.lost = 0.0
        """when the last connection ended, by the loop's clock, where there are several workers"""
        self._timer: asyncio.TimerHandle | None = None

    def connection(self) -> Connection:
        """A protocol for one accepted socket."""
        return Connection(self.shared, self.connections, self._lost)

    def tick(self) -> None:
        """Once a second: end the connections that wait, send or read for too long."""
        self.shared.tick()
        for connection in list(self.connections):
            connection.check_time(self.shared.seconds)
        log.flush()
        self._timer = asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self.tick)

    def begin_draining(self) -> None:
        """Every connection's next request is its last."""
        for connection in self.connections:
            connection.begin_draining()

    def drain(self) -> None:
        """End every connection that owes nothing; the others end with their last answer."""
        for connection in list(self.connections):
            connection.drain()

    def stop(self) -> None:
        """Stop the clock and end every connection."""
        if self._timer is not None:
            self._timer.cancel()
        for connection in list(self.connections):
            connection.transport.close()

    @property
    def owed(self) -> int:
        """How many connections have an accepted request without its answer, or half a request."""
        return sum(connection.busy for connection in self.connections)

    def _lost(self) -> None:
        if self.share is not None:
            self.share.put(len(self.connections))
            self.lost = asyncio.get_running_loop().time()
        if self.on_idle is not None and not self.owed:
            self.on_idle()

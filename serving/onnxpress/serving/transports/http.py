"""An HTTP/1.1 server: what all its connections share, and the clock that ends the slow ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from onnxpress.serving.exchange import Handler
from onnxpress.serving.settings import ConnectionLimits
from onnxpress.serving.transports.connection import Connection

if TYPE_CHECKING:
    from onnxpress.serving.transports.answers import Head

_SWEEP_SECONDS = 1.0


class Server:
    """What all connections share: the handler, the limits, the heads seen before, and the clock."""

    def __init__(self, handler: Handler, limits: ConnectionLimits) -> None:
        self.handler, self.limits, self.traffic = handler, limits, handler.traffic
        self.connections: set[Connection] = set()
        self.heads: dict[bytes, Head] = {}
        self.seconds = 0
        self.held = 0
        """bytes of the bodies that count against max_held"""
        self.on_idle: Callable[[], None] | None = None
        """called when nothing is owed any more, while the server is draining"""
        self._timer: asyncio.TimerHandle | None = None

    def connection(self) -> Connection:
        """A protocol for one accepted socket."""
        return Connection(self)

    def tick(self) -> None:
        """Once a second: end the connections that wait, send or read for too long."""
        self.seconds += 1
        for connection in list(self.connections):
            connection.check_time(self.seconds)
        self._timer = asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self.tick)

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

    def gone(self, connection: Connection) -> None:
        """A connection has closed."""
        self.connections.discard(connection)
        self.traffic.connections -= 1
        if self.on_idle is not None and not self.owed:
            self.on_idle()

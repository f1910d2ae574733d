"""Accepting from a socket that several workers share, with manners.

Who is awake takes all connections of a burst before another worker is: eight that a client keeps open would have one
worker answer all of them. So a worker that has more connections than another stops accepting for a moment, and then
takes one more at least, since the other may be at something long. Where connections come and go there is nothing to
share out: who has time takes the next.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from onnxpress.serving import sockets
from onnxpress.serving.loads import Share

if TYPE_CHECKING:
    import ssl

    from onnxpress.serving.transports.connection import Connection
    from onnxpress.serving.transports.http import Server

_COURTESY_SECONDS = 0.002
_GOING_SECONDS = 0.1
"""since the last connection ended: for so long they come and go"""


class Acceptor:
    """Accepts for `server` from one listening socket."""

    def __init__(self, server: Server, listener: socket.socket, context: ssl.SSLContext | None, share: Share) -> None:
        self._loop = asyncio.get_running_loop()
        self._server, self._listener, self._context, self._share = server, listener, context, share
        self._accepting: asyncio.Server | None = None
        self._waiting: asyncio.TimerHandle | None = None
        self._closed = False

    async def start(self) -> None:
        """Accept from now on, or go on."""
        self._waiting = None
        self._share.put(len(self._server.connections))
        # A descriptor of its own, which goes when the loop's server is closed.
        accepting = await self._loop.create_server(
            self._connection, sock=self._listener.dup(), backlog=sockets.BACKLOG, ssl=self._context
        )
        if self._closed:
            accepting.close()
        else:
            self._accepting = accepting

    def fileno(self) -> int:
        """The socket's, while it is open."""
        return self._listener.fileno()

    def close(self) -> None:
        """Accept no more; the socket is closed in this process."""
        self._closed = True
        if self._waiting is not None:
            self._waiting.cancel()
        if self._accepting is not None:
            self._accepting.close()
        self._listener.close()
        self._share.leave()

    def _connection(self) -> Connection:
        """The protocol of one that was accepted just now, and is not yet among the open ones."""
        server = self._server
        self._share.put(len(server.connections) + 1)
        if self._waiting is None and self._share.has_enough and self._loop.time() - server.lost > _GOING_SECONDS:
            self._waiting = self._loop.call_later(_COURTESY_SECONDS, self._resume)
            self._loop.call_soon(self._pause)
        return server.connection()

    def _pause(self) -> None:
        accepting, self._accepting = self._accepting, None
        if accepting is not None:
            accepting.close()

    def _resume(self) -> None:
        self._resuming = self._loop.create_task(self.start())

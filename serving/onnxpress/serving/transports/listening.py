"""Accepting connections: from TCP sockets or a Unix socket, with or without TLS."""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from onnxpress.core.errors import UsageError
from onnxpress.serving import sockets, tls
from onnxpress.serving.settings import Address
from onnxpress.serving.transports.http import Server

if TYPE_CHECKING:
    import ssl

    from onnxpress.serving.loads import Share
    from onnxpress.serving.transports.accepting import Acceptor
    from onnxpress.serving.unix_socket import UnixSocket

_QUEUED = 256
"""turns of the loop, at most, in which connections are accepted that came before the end"""


class Listening:
    """What accepts connections for one server: the loop's own servers, or acceptors that share with other workers."""

    def __init__(
        self,
        address: Address,
        context: ssl.SSLContext | None,
        servers: Sequence[asyncio.Server],
        acceptors: Sequence[Acceptor] = (),
        unix: UnixSocket | None = None,
    ) -> None:
        self._address, self._context, self._servers = address, context, servers
        self._acceptors, self._unix = acceptors, unix

    def renew_certificate(self) -> None:
        """Take new connections with the certificate and key as their files are now. Raises UsageError."""
        if self._context is not None:
            tls.renew(self._context, self._address)

    async def close(self) -> None:
        """Accept what has come, and no more: from then on, callers are refused."""
        if hasattr(select, "poll"):
            waiting = select.poll()
            for descriptor in [one.fileno() for server in self._servers for one in server.sockets]:
                waiting.register(descriptor, select.POLLIN)
            for acceptor in self._acceptors:
                waiting.register(acceptor.fileno(), select.POLLIN)
            for _ in range(_QUEUED):
                if not waiting.poll(0):
                    break
                await asyncio.sleep(0)
        if self._unix is not None:
            self._unix.remove()
        for server in self._servers:
            server.close()
        for acceptor in self._acceptors:
            acceptor.close()


async def listen(address: Address, server: Server, bound: Sequence[socket.socket] = ()) -> Listening:
    """Accept connections from now on, from the `bound` sockets or the Unix socket. Raises UsageError."""
    loop = asyncio.get_running_loop()
    context = tls.context_of(address)
    if address.unix is not None:
        from onnxpress.serving.unix_socket import UnixSocket

        unix = UnixSocket(address.unix, sockets.BACKLOG)
        try:
            accepting = await loop.create_unix_server(
                server.connection, sock=unix.socket, backlog=sockets.BACKLOG, ssl=context
            )
        except OSError as error:
            unix.remove()
            unix.socket.close()
            raise UsageError(f"cannot listen on {address.unix}: {error.strerror or error}") from error
        return Listening(address, context, [accepting], unix=unix)
    servers = []
    for one in bound:
        try:
            servers.append(await loop.create_server(server.connection, sock=one, backlog=sockets.BACKLOG, ssl=context))
        except OSError as error:  # another began to listen there in this moment
            for other in servers:
                other.close()
            raise sockets.refused(address, error) from error
    return Listening(address, context, servers)


async def listen_beside_others(
    address: Address, server: Server, listening: Sequence[socket.socket], share: Share
) -> Listening:
    """Accept from sockets that listen already, and from which other workers accept too. Raises UsageError."""
    from onnxpress.serving.transports.accepting import Acceptor

    context = tls.context_of(address)
    server.share = share
    acceptors = [Acceptor(server, one, context, share) for one in listening]
    for acceptor in acceptors:
        await acceptor.start()
    return Listening(address, context, [], acceptors)

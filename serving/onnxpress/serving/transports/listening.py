"""Accepting connections: from TCP sockets or a Unix socket, with or without TLS."""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from onnxpress.core.errors import UsageError
from onnxpress.serving import sockets, tls
from onnxpress.serving.settings import Address

if TYPE_CHECKING:
    import ssl

    from onnxpress.serving.unix_socket import UnixSocket

_QUEUED = 256
"""turns of the loop, at most, in which connections are accepted that came before the end"""


class Listening:
    """What accepts connections for one server."""

    def __init__(
        self,
        address: Address,
        servers: Sequence[asyncio.Server],
        context: ssl.SSLContext | None,
        unix: UnixSocket | None = None,
    ) -> None:
        self._address, self._servers, self._context, self._unix = address, servers, context, unix

    def renew_certificate(self) -> None:
        """Take new connections with the certificate and key as their files are now. Raises UsageError."""
        if self._context is not None:
            tls.renew(self._context, self._address)

    async def close(self) -> None:
        """Accept what has come, and no more: from then on, callers are refused."""
        waiting = select.poll() if hasattr(select, "poll") else None
        if waiting is not None:
            for server in self._servers:
                for one in server.sockets:
                    waiting.register(one.fileno(), select.POLLIN)
            for _ in range(_QUEUED):
                if not waiting.poll(0):
                    break
                await asyncio.sleep(0)
        if self._unix is not None:
            self._unix.remove()
        for server in self._servers:
            server.close()


async def listen(
    address: Address, protocol: Callable[[], asyncio.Protocol], bound: Sequence[socket.socket] = ()
) -> Listening:
    """Accept connections from now on, from the `bound` sockets or the Unix socket. Raises UsageError."""
    loop = asyncio.get_running_loop()
    context = tls.context_of(address)
    if address.unix is not None:
        from onnxpress.serving.unix_socket import UnixSocket

        unix = UnixSocket(address.unix, sockets.BACKLOG)
        try:
            server = await loop.create_unix_server(protocol, sock=unix.socket, backlog=sockets.BACKLOG, ssl=context)
        except OSError as error:
            unix.remove()
            unix.socket.close()
            raise UsageError(f"cannot listen on {address.unix}: {error.strerror or error}") from error
        return Listening(address, [server], context, unix)
    servers = []
    for one in bound:
        try:
            servers.append(await loop.create_server(protocol, sock=one, backlog=sockets.BACKLOG, ssl=context))
        except OSError as error:  # another began to listen there in this moment
            for server in servers:
                server.close()
            raise sockets.refused(address, error) from error
    return Listening(address, servers, context)

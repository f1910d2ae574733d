"""Where a server listens: a TCP port or a Unix socket, with or without TLS."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from onnxpress.core.errors import UsageError
from onnxpress.serving.settings import Address

if TYPE_CHECKING:
    import ssl

_BACKLOG = 2048


async def listen(
    address: Address, protocol: Callable[[], asyncio.Protocol], given: socket.socket | None = None
) -> tuple[asyncio.Server, str]:
    """Accept connections, on a socket that was `given` or a new one; returns the server and its URL.

    Raises UsageError where that cannot be.
    """
    loop = asyncio.get_running_loop()
    context = _tls(address)
    scheme = "http" if context is None else "https"
    try:
        if address.unix is not None:
            # Only this user may connect, unless the folder's owner decides otherwise afterwards.
            server = await loop.create_unix_server(protocol, str(address.unix), backlog=_BACKLOG, ssl=context)
            address.unix.chmod(0o600)
            return server, f"{scheme}+unix://{address.unix}"
        if given is not None:
            server = await loop.create_server(protocol, sock=given, ssl=context)
        else:
            server = await loop.create_server(protocol, address.host, address.port, backlog=_BACKLOG, ssl=context)
    except OSError as error:
        if address.unix is not None:
            raise UsageError(f"cannot listen on {address.unix}: {error.strerror or error}") from error
        hint = "choose another --port, or 0 for a free one"
        raise UsageError(f"cannot listen on {address.host}:{address.port}: {error.strerror}", hint=hint) from error
    host, port = server.sockets[0].getsockname()[:2]
    return server, f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def _tls(address: Address) -> ssl.SSLContext | None:
    if address.tls_certificate is None:
        return None
    import ssl  # some 10 ms that most servers need not spend

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(address.tls_certificate, address.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"the certificate or its key cannot be used: {error}", where=str(address.tls_certificate)
        ) from None
    return context

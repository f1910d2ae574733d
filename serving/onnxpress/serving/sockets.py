"""The TCP sockets that a server listens on: every address of every host that it was told, all on one port.

Light, and without asyncio: the supervisor of several workers opens them before anything heavy is imported.
"""

from __future__ import annotations

import errno
import os
import socket

from onnxpress.core.errors import UsageError
from onnxpress.serving.settings import Address

BACKLOG = 2048
"""connections that the kernel keeps until they are accepted"""
_ATTEMPTS = 10
"""at finding one port that is free on several addresses"""
_ANY_IPV4, _ANY_IPV6 = "0.0.0.0", "::"
_ABSENT = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""what is said of an address whose protocol this machine does not speak"""

_Place = tuple[socket.AddressFamily, tuple[str, int]]


def bound(address: Address) -> list[socket.socket]:
    """Sockets bound to all addresses, none of which listens yet; port 0 is chosen by the first.

    `::` takes IPv4 too, unless 0.0.0.0 is asked for beside it. Of a name's addresses those that this machine has not
    are left out, as long as one is there. Raises UsageError where that cannot be.

    >>> sockets = bound(Address(host=("127.0.0.1",), port=0))
    >>> url(Address(), sockets).rpartition(":")[0]
    'http://127.0.0.1'
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            return _bound(address)
        except OSError as error:
            if address.port or error.errno != errno.EADDRINUSE:
                raise refused(address, error) from error
    try:
        return _bound(address)
    except OSError as error:
        raise refused(address, error) from error


def listening(address: Address) -> list[socket.socket]:
    """As `bound`, with every socket listening, and none that blocks whoever accepts from it."""
    found = bound(address)
    for one in found:
        one.setblocking(False)
        try:
            one.listen(BACKLOG)
        except OSError as error:  # another was quicker
            for other in found:
                other.close()
            raise refused(address, error) from error
    return found


def url(address: Address, sockets: list[socket.socket]) -> str:
    """Where to reach the first of the sockets, or the Unix socket."""
    scheme = "http" if address.tls_certificate is None else "https"
    if address.unix is not None:
        return f"{scheme}+unix://{address.unix}"
    host, port = sockets[0].getsockname()[:2]
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def refused(address: Address, error: OSError) -> UsageError:
    """The words for an address that cannot be listened on."""
    said = ", ".join(f"{host}:{address.port}" for host in address.host)
    return UsageError(f"cannot listen on {said}: {error.strerror}", hint="choose another --port, or 0 for a free one")


def _bound(address: Address) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    port = address.port
    seen: set[_Place] = set()
    try:
        for host in address.host:
            absent: OSError | None = None
            found = False
            for family, kind, protocol, _, place in socket.getaddrinfo(_encoded(host), port, type=socket.SOCK_STREAM):
                at = (str(place[0]), port, *place[2:])
                if (family, at[:2]) in seen:
                    found = True
                    continue
                try:
                    one = _one(family, kind, protocol, at, dual=_ANY_IPV4 not in address.host)
                except OSError as error:
                    if error.errno not in _ABSENT:
                        raise
                    absent = error
                    continue
                sockets.append(one)
                found, port = True, one.getsockname()[1]
                seen.add((family, (at[0], port)))
            if absent is not None and not found:
                raise absent
    except OSError:
        for one in sockets:
            one.close()
        raise
    return sockets


def _encoded(host: str) -> str | bytes:
    """As it goes to the resolver: of a `str` it would make that with a codec that takes 2 ms to import."""
    return host.encode() if host.isascii() else host


def _one(
    family: socket.AddressFamily, kind: socket.SocketKind, protocol: int, place: tuple[object, ...], *, dual: bool
) -> socket.socket:
    listener = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            # A server that is started again need not wait until the connections of the one before are forgotten. On
            # Windows the same option would take the port away from whoever listens there.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # Said, not left to the system: net.ipv6.bindv6only differs.
            both = dual and place[0] == _ANY_IPV6
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if both else 1)
        listener.bind(place)
    except OSError:
        listener.close()
        raise
    return listener

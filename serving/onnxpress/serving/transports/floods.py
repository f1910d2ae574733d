"""Addresses from which connections came lately that were cut for flooding: the next ones from there wait their turn.

One that is cut may come again at once. What it costs until it is cut is little, and often is much. So those that speak
HTTP/2, and come from where floods came from within the last seconds, begin one after the other.
"""

from __future__ import annotations

import socket
from typing import Any, Final

PAUSE: Final = 0.1
"""seconds between the beginnings of two connections"""
LONGEST: Final = 2.0
"""seconds that one waits for its turn; who would wait longer is not let in"""
_MOST: Final = 1024
"""addresses that are kept"""
_NETWORK: Final = 8
"""bytes of an IPv6 address: one host may have all that begin with them"""


class Floods:
    """All connections' of one server.

    >>> floods = Floods()
    >>> floods.cut(b"there")
    >>> [floods.wait(b"there", 7.0), floods.wait(b"there", 7.0), floods.wait(b"elsewhere", 7.0)]
    [0.0, 0.1, 0.0]
    """

    __slots__ = ("_next", "addresses")

    def __init__(self) -> None:
        self.addresses: dict[bytes, int] = {}
        """and how many were cut, half of them after each second"""
        self._next = 0.0

    def cut(self, address: bytes) -> None:
        """One was cut that came from there."""
        if len(self.addresses) >= _MOST and address not in self.addresses:
            self.addresses.clear()
        self.addresses[address] = self.addresses.get(address, 0) + 2

    def wait(self, address: bytes, now: float) -> float:
        """Seconds until one that comes from there at this time may begin; -1 where it may not."""
        if address not in self.addresses:
            return 0.0
        begin = max(now, self._next)
        if begin - now > LONGEST:
            return -1.0
        self._next = begin + PAUSE
        return begin - now

    def tick(self) -> None:
        """A second has passed."""
        if self.addresses:
            self.addresses = {address: count // 2 for address, count in self.addresses.items() if count > 1}


def address_of(peer: Any) -> bytes:
    """What `peername` says of a client, without what it can change with every connection; b"" for a Unix socket.

    >>> address_of(("2001:db8::1", 5, 0, 0)) == address_of(("2001:db8::2", 6, 0, 0))
    True
    """
    if not isinstance(peer, tuple):
        return b""
    host = str(peer[0])
    if ":" in host:
        try:
            whole = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
        except OSError:
            return host.encode()
        # One that came over IPv4 is told apart by its end.
        return whole if whole.startswith(bytes(10) + b"\xff\xff") else whole[:_NETWORK]
    return host.encode()

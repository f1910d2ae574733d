"""A request's head: while its lines are read, and what it means then."""

from __future__ import annotations

import re
from typing import Final

from onnxpress.serving.settings import ConnectionLimits

HEAVY = 64 * 1024
"""bytes of a body from which it counts against `ConnectionLimits.max_held`; smaller ones are bounded by their number"""

USUAL: Final = "1.1"
OLD: Final = "1.0"
"""the versions of HTTP that are spoken"""

_SHOWN = 80
_HOST = re.compile(rb"[\w.~!$&'()*+,;=:%\[\]-]*", re.ASCII)
"""the characters of a name or address and a port; empty where a client has none (RFC 9110, 7.2)"""
_KEPT, _KEPT_BYTES = 512, 2048

Refused = tuple[int, str]
"""HTTP status and reason"""


class Head:
    """One request's method, target and framing.

    `headers` are those that the handler reads; None where there are none. `weight` is the body's length where it counts
    against what all requests together may hold, else 0. `plain`: its answer is nothing but a 200 with a body, and the
    connection goes on. `old`: of HTTP/1.0, whose clients want to be told that the connection goes on.
    """

    __slots__ = ("headers", "keep_alive", "length", "method", "old", "plain", "target", "weight")

    def __init__(
        self,
        method: bytes,
        target: bytes,
        length: int,
        keep_alive: bool,
        headers: dict[bytes, bytes] | None = None,
        old: bool = False,
    ) -> None:
        self.method, self.target, self.length, self.keep_alive = method, target, length, keep_alive
        self.headers, self.old = headers, old
        self.weight = length if length >= HEAVY else 0
        self.plain = keep_alive and method != b"HEAD" and not old


class KnownHeads:
    """The heads that were seen before, by their bytes; so many at most, and none that is long."""

    __slots__ = ("_heads",)

    def __init__(self) -> None:
        self._heads: dict[bytes, Head] = {}

    def get(self, data: bytes) -> Head | None:
        """The head that these bytes are, empty line and all."""
        return self._heads.get(data)

    def keep(self, data: bytes, head: Head) -> None:
        """Know these bytes from now on."""
        if len(data) <= _KEPT_BYTES:
            if len(self._heads) >= _KEPT:
                self._heads.clear()
            self._heads[data] = head


class HeadLines:
    """A head while it is read: what its lines say as far as they have come.

    `headers_read`: names of the headers that the Head is to have. What comes is added; what is wrong with it, or with
    the head's length, is returned.
    """

    __slots__ = (
        "_beside", "_limits", "_received", "_size",
        "chunked", "expects", "headers", "headers_read", "hosts", "length", "target",
    )  # fmt: skip

    def __init__(self, limits: ConnectionLimits, headers_read: frozenset[bytes], received: int) -> None:
        """`received`: bytes that will be told as received and are not the head's, less than 0."""
        self._limits, self.headers_read = limits, headers_read
        self._size, self._received, self._beside = 0, received, 0
        self.target = b""
        self.headers: dict[bytes, bytes] | None = None
        self.hosts = self.length = 0
        self.chunked = self.expects = False

    def add_target(self, part: bytes) -> Refused | None:
        """More of the request's target."""
        self.target += part
        self._size += len(part)
        return self._too_long()

    def add_received(self, count: int) -> Refused | None:
        """So many bytes have come, and the head is not complete: perhaps they are of one line that has no end."""
        self._received += count
        return self._too_long()

    def add_beside(self, count: int) -> Refused | None:
        """So many bytes have come behind the head and are none of the body, which has not grown; 0 where it has.

        They are a trailer, or stand beside the length of a chunk: httptools keeps what of it is not complete.
        """
        self._beside = self._beside + count if count else 0
        if self._beside <= self._limits.max_head:
            return None
        return 431, f"what stands beside the body is larger than {self._limits.max_head} bytes"

    def _too_long(self) -> Refused | None:
        limit = self._limits.max_head
        if self._size > limit or self._received > limit:
            return 431, f"the request's head is larger than {limit} bytes"
        return None

    def add_header(self, name: bytes, value: bytes) -> Refused | None:
        """One header."""
        self._size += len(name) + len(value) + 4
        name = name.lower()
        if name == b"host":
            self.hosts += 1
            if _HOST.fullmatch(value) is None:
                return 400, f"{value[:_SHOWN].decode('latin-1')!r} in the Host header is no host"
        elif name == b"content-length":
            self.length = int(value) if value.isdigit() else 0  # llhttp refuses what is no number
            if self.length > self._limits.max_body:
                return too_large(self._limits.max_body)
        elif name == b"transfer-encoding":
            self.chunked = True
            if value.lower() != b"chunked":
                return 501, f"the transfer encoding {value[:_SHOWN].decode('latin-1')!r} is not read here"
        elif name == b"expect":
            self.expects = value.lower() == b"100-continue"
            if not self.expects:
                return 417, "the only expectation met here is 100-continue"
        elif name in self.headers_read or negotiates(name, self.target):
            # Given twice it is not one thing to go by; the handler refuses what a comma makes of it.
            known = self.headers or {}
            self.headers = known | {name: b"%b, %b" % (known[name], value) if name in known else value}
        return self._too_long()

    def complete(self, version: str) -> Refused | None:
        """It has ended: what is wrong with it as a whole, in this version of HTTP."""
        if version not in (USUAL, OLD):
            # What has no version at all, which is HTTP/0.9, is a mistake rather than another protocol.
            return 400 if version == "0.9" else 505, f"HTTP/{version} is not spoken here, HTTP/1.1 is"
        if self.chunked and version == OLD:
            # Who passed it on may not know of chunks, and see other requests in them (RFC 9112, 6.1).
            return 400, "HTTP/1.0 has no transfer encodings"
        if self.hosts != 1 and version == USUAL:
            # Two readers of such a request could take it for two different sites (RFC 9112, 3.2).
            return 400, f"a request must have one Host header; this one has {self.hosts}"
        return None


def negotiates(name: bytes, target: bytes) -> bool:
    """Whether a header that most requests have is read of this one: it says in which form metrics are wanted."""
    return name == b"accept" and target[:8] == b"/metrics"


def too_large(max_body: int) -> Refused:
    """The refusal of a body of more bytes."""
    return 413, f"the body is larger than {max_body} bytes"


UNREADABLE = Head(b"", b"", 0, keep_alive=False)
"""stands for the head of what could not be read to its end"""

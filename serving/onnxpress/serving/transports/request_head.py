"""A request's head: while its lines are read, and what it means then."""

from __future__ import annotations

HEAVY = 64 * 1024
"""bytes of a body from which it counts against `ConnectionLimits.max_held`; smaller ones are bounded by their number"""
_SHOWN = 80

Refused = tuple[int, str]
"""HTTP status and reason"""


class Head:
    """One request's method, target and framing.

    `headers` are those that the handler reads; None where there are none. `weight` is the body's length where it counts
    against what all requests together may hold, else 0. `plain`: its answer is nothing but a 200 with a body, and the
    connection goes on; `usual`: and its body is a small one.
    """

    __slots__ = ("headers", "keep_alive", "length", "method", "plain", "target", "usual", "weight")

    def __init__(
        self, method: bytes, target: bytes, length: int, keep_alive: bool, headers: dict[bytes, bytes] | None = None
    ) -> None:
        self.method, self.target, self.length, self.keep_alive = method, target, length, keep_alive
        self.headers = headers
        self.weight = length if length >= HEAVY else 0
        self.plain = keep_alive and method != b"HEAD"
        self.usual = self.plain and not self.weight


class HeadLines:
    """A head while it is read: what its lines say as far as they have come.

    `headers_read`: names of the headers that the Head is to have. `size`: bytes of the lines that have come.
    """

    __slots__ = ("chunked", "expects", "headers", "headers_read", "hosts", "length", "max_body", "size", "target")

    def __init__(self, headers_read: frozenset[bytes], max_body: int) -> None:
        self.headers_read, self.max_body = headers_read, max_body
        self.target = b""
        self.headers: dict[bytes, bytes] | None = None
        self.hosts = self.length = self.size = 0
        self.chunked = self.expects = False

    def add_target(self, part: bytes) -> None:
        """More of the request's target."""
        self.target += part
        self.size += len(part)

    def add_header(self, name: bytes, value: bytes) -> Refused | None:
        """One header; returns what is wrong with it."""
        self.size += len(name) + len(value) + 4
        name = name.lower()
        if name == b"host":
            self.hosts += 1
        elif name == b"content-length":
            self.length = int(value) if value.isdigit() else 0  # llhttp refuses what is no number
            if self.length > self.max_body:
                return too_large(self.max_body)
        elif name == b"transfer-encoding":
            self.chunked = True
            if value.lower() != b"chunked":
                return 501, f"the transfer encoding {value[:_SHOWN].decode('latin-1')!r} is not read here"
        elif name == b"expect":
            self.expects = value.lower() == b"100-continue"
            if not self.expects:
                return 417, "the only expectation met here is 100-continue"
        elif name in self.headers_read:
            # Given twice it is not one thing to go by; the handler refuses what a comma makes of it.
            known = self.headers or {}
            self.headers = known | {name: b"%b, %b" % (known[name], value) if name in known else value}
        return None


def too_large(max_body: int) -> Refused:
    """The refusal of a body of more bytes."""
    return 413, f"the body is larger than {max_body} bytes"


UNREADABLE = Head(b"", b"", 0, keep_alive=False)
"""stands for the head of what could not be read to its end"""

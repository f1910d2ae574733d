"""A request's head, and its place in the order of its connection's answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxpress.serving.exchange import Headers

if TYPE_CHECKING:
    from onnxpress.serving.transports.connection import Connection

_OK_JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
_PHRASES = {
    200: b"OK", 400: b"Bad Request", 401: b"Unauthorized", 403: b"Forbidden", 404: b"Not Found",
    405: b"Method Not Allowed", 408: b"Request Timeout", 413: b"Content Too Large", 415: b"Unsupported Media Type",
    417: b"Expectation Failed", 431: b"Request Header Fields Too Large", 500: b"Internal Server Error",
    499: b"Client Closed Request", 501: b"Not Implemented", 503: b"Service Unavailable", 504: b"Gateway Timeout",
}  # fmt: skip


HEAVY = 64 * 1024
"""bytes of a body from which it counts against `ConnectionLimits.max_held`; smaller ones are bounded by their number"""


class Head:
    """What a request's head means; kept for the next request with the same bytes.

    `headers` are those that the service reads; None where there are none. `weight` is the body's length where it counts
    against what all requests together may hold, else 0.
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


UNREADABLE = Head(b"", b"", 0, keep_alive=False)
"""stands for the head of what could not be read to its end"""


class Slot:
    """One request's place in its connection's order of answers; the exchange that the service answers to."""

    __slots__ = ("answer", "connection", "head")

    def __init__(self, connection: Connection, head: Head) -> None:
        self.connection, self.head = connection, head
        self.answer: bytes | None = None

    @property
    def gone(self) -> bool:
        """Whether the connection is lost."""
        return self.connection.transport.is_closing()

    def respond(self, status: int, body: bytes, headers: Headers = ()) -> None:
        """Write the answer now if it is this request's turn, else keep it until it is."""
        connection, head = self.connection, self.head
        owed = connection.owed
        if status == 200 and len(owed) == 1 and connection.flowing and head.usual and not headers:
            # The one answer owed is this one: what is no longer owed is of a connection that flows no more.
            owed.pop()
            connection.since = connection.server.seconds
            connection.transport.write(_OK_JSON % (len(body), body))
            return
        if head.weight:
            connection.server.held -= head.weight
        if status == 200 and head.plain and not headers and not connection.draining:
            answer = _OK_JSON % (len(body), body)
        else:
            if status != 200:
                connection.server.traffic.errors[status] += 1
            last = not head.keep_alive or (connection.draining and bool(owed) and owed[-1] is self)
            answer = _answer(status, body, headers, head, last)
        self.answer = answer
        if owed and owed[0] is self:
            connection.flush()


def complete(headers: Headers, status: int, length: int) -> list[tuple[bytes, bytes]]:
    """The headers of an answer: JSON unless `headers` say otherwise, its length, and when to come again."""
    found = [(b"content-length", b"%d" % length), *headers]
    if not any(name == b"content-type" for name, _ in headers):
        found.insert(0, (b"content-type", b"application/json"))
    if status == 503:
        found.append((b"retry-after", b"1"))
    return found


def _answer(status: int, body: bytes, headers: Headers, head: Head, last: bool) -> bytes:
    """Any answer but the usual one."""
    lines = [b"HTTP/1.1 %d %b" % (status, _PHRASES[status])]
    lines += [b"%b: %b" % header for header in complete(headers, status, len(body))]
    if last:
        lines.append(b"connection: close")
    return b"\r\n".join([*lines, b"", b"" if head.method == b"HEAD" else body])

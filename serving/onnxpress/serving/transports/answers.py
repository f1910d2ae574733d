"""Answers as HTTP/1.1 writes them."""

from __future__ import annotations

from onnxpress.serving.protocol.errors import Headers

OK_JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_PHRASES = {
    200: b"OK", 400: b"Bad Request", 401: b"Unauthorized", 403: b"Forbidden", 404: b"Not Found",
    405: b"Method Not Allowed", 408: b"Request Timeout", 413: b"Content Too Large", 415: b"Unsupported Media Type",
    417: b"Expectation Failed", 431: b"Request Header Fields Too Large", 500: b"Internal Server Error",
    503: b"Service Unavailable",
}  # fmt: skip


def complete(headers: Headers, status: int, length: int) -> Headers:
    """The headers of an answer: JSON unless something else is said, its length, and when to come again."""
    kind: Headers = () if any(name == b"content-type" for name, _ in headers) else ((b"content-type", _JSON),)
    again: Headers = ((b"retry-after", b"1"),) if status == 503 else ()
    return (*kind, (b"content-length", b"%d" % length), *headers, *again)


_JSON = b"application/json"


def answer(status: int, body: bytes, headers: Headers, *, keep_alive: bool, head_only: bool) -> bytes:
    """Any answer but the usual one."""
    lines = [b"HTTP/1.1 %d %b" % (status, _PHRASES[status])]
    lines += [b"%b: %b" % header for header in complete(headers, status, len(body))]
    if not keep_alive:
        lines.append(b"connection: close")
    return b"\r\n".join([*lines, b"", b"" if head_only else body])

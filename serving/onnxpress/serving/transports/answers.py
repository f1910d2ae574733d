"""Answers as HTTP writes them: status lines and headers."""

from __future__ import annotations

from onnxpress.serving.protocol.errors import Headers

OK_JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_PHRASES = {
    200: b"OK", 400: b"Bad Request", 401: b"Unauthorized", 403: b"Forbidden", 404: b"Not Found",
    405: b"Method Not Allowed", 408: b"Request Timeout", 413: b"Content Too Large", 415: b"Unsupported Media Type",
    417: b"Expectation Failed", 431: b"Request Header Fields Too Large", 500: b"Internal Server Error",
    501: b"Not Implemented", 503: b"Service Unavailable",
}  # fmt: skip


def headers(extra: Headers, status: int, length: int) -> list[tuple[bytes, bytes]]:
    """The headers of an answer: JSON unless `extra` says otherwise, its length, and when to come again."""
    found = [(b"content-length", b"%d" % length), *extra]
    if not any(name == b"content-type" for name, _ in extra):
        found.insert(0, (b"content-type", b"application/json"))
    if status == 503:
        found.append((b"retry-after", b"1"))
    return found


def answer(status: int, body: bytes, extra: Headers, *, last: bool, head_only: bool) -> bytes:
    """Any answer but the usual one; `last` closes the connection, `head_only` leaves the body out."""
    lines = [b"HTTP/1.1 %d %b" % (status, _PHRASES[status])]
    lines += [b"%b: %b" % header for header in headers(extra, status, len(body))]
    if last:
        lines.append(b"connection: close")
    return b"\r\n".join([*lines, b"", b"" if head_only else body])

"""An answer as HTTP/1.1 has it: status line, headers, body."""

from __future__ import annotations

from onnxpress.serving.exchange import Headers

_OK_JSON = b"HTTP/1.1 200 OK\r\ndate: %b\r\ncontent-type: application/json\r\ncontent-length: %%d\r\n\r\n%%b"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
"""what a client wants to read that asks before it sends its body"""
_PHRASES = {
    200: b"OK", 400: b"Bad Request", 401: b"Unauthorized", 403: b"Forbidden", 404: b"Not Found",
    405: b"Method Not Allowed", 408: b"Request Timeout", 413: b"Content Too Large", 415: b"Unsupported Media Type",
    417: b"Expectation Failed", 431: b"Request Header Fields Too Large", 500: b"Internal Server Error",
    499: b"Client Closed Request", 501: b"Not Implemented", 503: b"Service Unavailable", 504: b"Gateway Timeout",
    505: b"HTTP Version Not Supported",
}  # fmt: skip


def ok_json(date: bytes) -> bytes:
    """The usual answer of this second: what is to be filled in are the length of its body and the body."""
    return _OK_JSON % date


def complete(headers: Headers, status: int, length: int) -> list[tuple[bytes, bytes]]:
    """The headers of an answer: JSON unless `headers` say otherwise, its length, and when to come again."""
    found = [(b"content-length", b"%d" % length), *headers]
    if not any(name == b"content-type" for name, _ in headers):
        found.insert(0, (b"content-type", b"application/json"))
    if status == 503:
        found.append((b"retry-after", b"1"))
    return found


def response(
    status: int, body: bytes, headers: Headers, *, date: bytes, bodiless: bool, last: bool, old: bool = False
) -> bytes:
    """Any answer. `bodiless`: it only says how long its body would be; `last`: the connection ends with it.

    `old`: the client speaks HTTP/1.0, and takes the answer for the last one unless it is told.
    """
    lines = [b"HTTP/1.1 %d %b" % (status, _PHRASES[status]), b"date: " + date]
    lines += [b"%b: %b" % header for header in complete(headers, status, len(body))]
    if last:
        lines.append(b"connection: close")
    elif old:
        lines.append(b"connection: keep-alive")
    return b"\r\n".join([*lines, b"", b"" if bodiless else body])

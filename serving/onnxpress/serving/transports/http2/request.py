"""What a header list asks for, once it is seen to be a request (RFC 9113, 8.3), and a gRPC call where it is one."""

from __future__ import annotations

import re
from typing import Final

from onnxpress.serving.exchange import GRPC
from onnxpress.serving.routes import call_paths
from onnxpress.serving.transports.http2.hpack import Field
from onnxpress.serving.transports.request_head import negotiates

_NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
_BAD_VALUE: Final = re.compile(rb"[\0\r\n]|^[ \t]|[ \t]$")
_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OF_CONNECTIONS: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)
_ENCODINGS: Final = frozenset({b"content-encoding", b"accept-encoding"})
_LONGEST_LENGTH: Final = 18

PLAIN: Final = 0
UNARY: Final = 1
"""a gRPC call with one message in and one out"""
STREAM: Final = 2
WATCHED: Final = 3
"""see `call_paths` for both"""
UNKNOWN: Final = 4
"""a gRPC call that is not here"""


class Malformed(Exception):
    """A header list that is no request: its stream is reset."""


class Request:
    """Method, path, the headers that the handler reads (None where there are none), and the length of the body.

    `length` is -1 where it is not told. `grpc`: a gRPC call, whose messages are packed as `encoding` says. `kind`: of
    the calls above.
    """

    __slots__ = ("encoding", "grpc", "headers", "kind", "length", "method", "path")

    def __init__(
        self, method: bytes, path: bytes, headers: dict[bytes, bytes] | None, length: int, grpc: bool, encoding: bytes
    ) -> None:
        self.method, self.path, self.headers, self.length = method, path, headers, length
        self.grpc, self.encoding = grpc, encoding
        self.kind: int = _kind(path) if grpc else PLAIN


def _kind(path: bytes) -> int:
    if path in call_paths.UNARY:
        return UNARY
    if path in call_paths.STREAMS:
        return STREAM
    return WATCHED if path in call_paths.WATCHED else UNKNOWN


def request_of(fields: list[Field], headers_read: frozenset[bytes]) -> Request:
    """The request. Raises Malformed."""
    asked: dict[bytes, bytes] = {}
    headers: dict[bytes, bytes] = {}
    length, kind, behind = -1, b"", False
    for name, value in fields:
        if name[:1] == b":":
            if behind or name in asked or name not in (b":method", b":scheme", b":path", b":authority"):
                raise Malformed(f"{name!r} where it must not stand")
            asked[name] = value
            continue
        behind = True
        check_field(name, value)
        if name == b"content-length":
            if not value.isdigit() or len(value) > _LONGEST_LENGTH or length not in (-1, int(value)):
                raise Malformed("a length that is none")
            length = int(value)
        elif name == b"content-type":
            kind = value
        # Given twice it is not one thing to go by; the handler refuses what a comma makes of it.
        wanted = name in headers_read or name in (b"grpc-encoding", b"grpc-accept-encoding")
        if wanted or negotiates(name, asked.get(b":path", b"")):
            headers[name] = b"%b, %b" % (headers[name], value) if name in headers else value
    method, path = asked.get(b":method", b""), asked.get(b":path", b"")
    if not method or not path or not asked.get(b":scheme") or method == GRPC:
        raise Malformed("a request without method, scheme or path")
    if not _TOKEN.fullmatch(method) or _BAD_VALUE.search(path) or b" " in path:
        raise Malformed("a method or path that is none")
    encoding, accepted = headers.pop(b"grpc-encoding", b""), headers.pop(b"grpc-accept-encoding", b"")
    grpc = method == b"POST" and kind[:16] == b"application/grpc" and kind[16:17] in (b"", b"+", b";")
    if grpc:
        # Its messages are packed one by one; what packs whole bodies is not meant.
        headers = {name: value for name, value in headers.items() if name not in _ENCODINGS}
        if b"accept-encoding" in headers_read and b"gzip" in accepted:
            headers[b"accept-encoding"] = b"gzip"
        method = GRPC
    return Request(method, path, headers or None, length, grpc, encoding.strip().lower())


def check_field(name: bytes, value: bytes) -> None:
    """Refuse what no header may be. Raises Malformed."""
    if _NAME.fullmatch(name) is None or _BAD_VALUE.search(value) is not None:
        raise Malformed(f"a header that is none: {name[:40]!r}")
    if name in _OF_CONNECTIONS or (name == b"te" and value.lower() != b"trailers"):
        raise Malformed(f"{name!r} is of HTTP/1.1")

"""gRPC's own frame around a message, and what it makes of an HTTP status: trailers with a code and a sentence."""

from __future__ import annotations

import zlib
from typing import Final
from urllib.parse import quote_from_bytes

import msgspec

from onnxpress.serving.exchange import Headers
from onnxpress.serving.protocol.refusal import Refusal
from onnxpress.serving.transports.http2 import hpack
from onnxpress.serving.transports.http2.hpack import Field

PREFIX: Final = 5
"""bytes before a message: whether it is packed, and its length"""
_GZIP: Final = zlib.MAX_WBITS | 16
_SHOWN: Final = 2000
_CODES: Final = {
    400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 408: 4, 413: 8, 415: 12, 431: 8, 499: 1, 500: 13, 501: 12, 503: 14,
    504: 4,
}  # fmt: skip
"""HTTP status → gRPC's code"""
_UNKNOWN: Final = 2
_KIND: Final[Field] = (b"content-type", b"application/grpc")
_OPENING: Final = hpack.encoded([(b":status", b"200"), _KIND])
_PACKED_OPENING: Final = hpack.encoded([(b":status", b"200"), _KIND, (b"grpc-encoding", b"gzip")])
_GOOD: Final = hpack.encoded([(b"grpc-status", b"0")])
_OWN: Final = frozenset({b"content-type", b"content-length", b"content-encoding", b"vary"})


def message(body: bytes, encoding: bytes) -> tuple[bytes, bytes]:
    """The one message of a unary call, and how it is packed: b"" where it is not. Raises Refusal."""
    if len(body) < PREFIX or len(body) != PREFIX + int.from_bytes(body[1:PREFIX], "big"):
        raise Refusal(400, "the call must have one message, whole, with its length before it")
    if body[0] == 0:
        return body[PREFIX:], b""
    if body[0] != 1 or encoding in (b"", b"identity"):
        raise Refusal(400, "the message is said to be packed, and the call has no grpc-encoding")
    return body[PREFIX:], encoding


def answered(status: int, body: bytes, headers: Headers) -> tuple[bytes, bytes, bytes]:
    """Header block, data and trailer block of an answer; without data and trailers where it is an error."""
    if status == 200 and not headers:
        return _OPENING, b"\0%b%b" % (len(body).to_bytes(4, "big"), body), _GOOD
    packed = (b"content-encoding", b"gzip") in headers
    more = [field for field in headers if field[0] not in _OWN]
    if status == 200:
        opening = _PACKED_OPENING if packed else _OPENING
        data = b"%b%b%b" % (b"\1" if packed else b"\0", len(body).to_bytes(4, "big"), body)
        return opening + hpack.encoded(more), data, _GOOD
    told: list[Field] = [(b":status", b"200"), _KIND, (b"grpc-status", b"%d" % _CODES.get(status, _UNKNOWN))]
    said = quoted(_reason(zlib.decompress(body, _GZIP) if packed else body))
    return hpack.encoded([*told, (b"grpc-message", said), *more]), b"", b""


def quoted(text: str) -> bytes:
    """As grpc-message has it: UTF-8, everything but printable ASCII as %XX.

    >>> quoted("50 % für Ω")
    b'50 %25 f%C3%BCr %CE%A9'
    """
    return quote_from_bytes(text[:_SHOWN].encode(), safe=" !\"#$&'()*+,/:;<=>?@[\\]^`{|}").encode()


def _reason(body: bytes) -> str:
    try:
        said = msgspec.json.decode(body)
    except msgspec.MsgspecError:
        return ""
    return str(said.get("error", "")) if isinstance(said, dict) else ""

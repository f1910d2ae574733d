"""gRPC's own frame around a message, and what it makes of an HTTP status: trailers with a code and a sentence."""

from __future__ import annotations

import struct
import zlib
from typing import Final
from urllib.parse import quote_from_bytes

import msgspec

from onnxpress.serving.exchange import Headers
from onnxpress.serving.protocol.refusal import Refusal
from onnxpress.serving.transports.http2 import frames, hpack
from onnxpress.serving.transports.http2.hpack import Field

PREFIX: Final = 5
"""bytes before a message: whether it is packed, and its length"""
_GZIP: Final = zlib.MAX_WBITS | 16
_SHOWN: Final = 2000
_CODES: Final = {
    400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 408: 4, 413: 8, 415: 12, 429: 8, 431: 8, 499: 1, 500: 13, 501: 12,
    503: 14, 504: 4,
}  # fmt: skip
"""HTTP status → gRPC's code"""
_UNKNOWN: Final = 2
_KIND: Final[Field] = (b"content-type", b"application/grpc")
OPENING: Final = hpack.encoded([(b":status", b"200"), _KIND])
PACKED_OPENING: Final = hpack.encoded([(b":status", b"200"), _KIND, (b"grpc-encoding", b"gzip")])
GOOD: Final = hpack.encoded([(b"grpc-status", b"0")])
_OWN: Final = frozenset({b"content-type", b"content-length", b"content-encoding", b"vary"})


_OPENING_FRAME: Final = frames.frame(frames.HEADERS, frames.END_HEADERS, 0, OPENING)[: frames.HEAD - 4]
_GOOD_FRAME: Final = frames.frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, 0, GOOD)[: frames.HEAD - 4]

_before_message = struct.Struct(f">5sI{len(OPENING)}sHBHIBI").pack
"""the frame of the opening, the head of that of the data, and the message's prefix"""
_behind_message = struct.Struct(f">5sI{len(GOOD)}s").pack


def message(body: bytes, encoding: bytes) -> tuple[bytes, bytes]:
    """The one message of a unary call, and how it is packed: b"" where it is not. Raises Refusal."""
    if len(body) < PREFIX or len(body) != PREFIX + (body[1] << 24 | body[2] << 16 | body[3] << 8 | body[4]):
        raise Refusal(400, "the call must have one message, whole, with its length before it")
    if body[0] == 0:
        return body[PREFIX:], b""
    if body[0] != 1 or encoding in (b"", b"identity"):
        raise Refusal(400, "the message is said to be packed, and the call has no grpc-encoding")
    return body[PREFIX:], encoding


def answered(status: int, body: bytes, headers: Headers) -> tuple[bytes, bytes, bytes]:
    """Header block, data and trailer block of an answer; without data and trailers where it is an error."""
    if status == 200 and not headers:
        return OPENING, b"\0%b%b" % (len(body).to_bytes(4, "big"), body), GOOD
    if status == 200:
        more = [field for field in headers if field[0] not in _OWN]
        opening = PACKED_OPENING if packed_by(headers) else OPENING
        return opening + hpack.encoded(more), framed(body, headers), GOOD
    return OPENING + ending(status, body, headers), b"", b""


def frames_of(number: int, body: bytes) -> bytes:
    """All frames of the usual answer, whose message fits into one."""
    size = len(body)
    held = size + PREFIX
    before = _before_message(_OPENING_FRAME, number, OPENING, held >> 8, held & 0xFF, 0, number, 0, size)
    return b"".join([before, body, _behind_message(_GOOD_FRAME, number, GOOD)])


def framed(body: bytes, headers: Headers) -> bytes:
    """A message as it is sent."""
    return b"%b%b%b" % (b"\1" if packed_by(headers) else b"\0", len(body).to_bytes(4, "big"), body)


def packed_by(headers: Headers) -> bool:
    """Whether an answer is packed."""
    return (b"content-encoding", b"gzip") in headers


def ending(status: int, body: bytes, headers: Headers) -> bytes:
    """The block that ends a call with an error: its code, its sentence, and what else the answer's headers say."""
    code, said = _CODES.get(status, _UNKNOWN), quoted(reason(body, headers))
    told: list[Field] = [(b"grpc-status", b"%d" % code), (b"grpc-message", said)]
    return hpack.encoded([*told, *[field for field in headers if field[0] not in _OWN]])


def quoted(text: str) -> bytes:
    """As grpc-message has it: UTF-8, everything but printable ASCII as %XX.

    >>> quoted("50 % für Ω")
    b'50 %25 f%C3%BCr %CE%A9'
    """
    return quote_from_bytes(text[:_SHOWN].encode(), safe=" !\"#$&'()*+,/:;<=>?@[\\]^`{|}").encode()


def reason(body: bytes, headers: Headers) -> str:
    """The sentence of an answer that is an error."""
    try:
        said = msgspec.json.decode(zlib.decompress(body, _GZIP) if packed_by(headers) else body)
    except msgspec.MsgspecError:
        return ""
    return str(said.get("error", "")) if isinstance(said, dict) else ""

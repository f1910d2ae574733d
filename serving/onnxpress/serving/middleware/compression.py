"""Compressed bodies, unpacked within a limit: a kilobyte cannot become a gigabyte. Answers packed on request."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

from onnxpress.serving.exchange import Exchange, ExchangeWrapper, Handler, Headers
from onnxpress.serving.protocol.refusal import Refusal

_ENCODING, _ACCEPTED = b"content-encoding", b"accept-encoding"
_EITHER = zlib.MAX_WBITS | 32
"""zlib finds out by itself whether it is gzip's or zlib's header"""
_GZIP = zlib.MAX_WBITS | 16
_MOST_STREAMS = 4096
"""in one body; those who pack blocks of 64 KiB for themselves (bgzf) need 1,025 for the largest body"""
_FIRST_PIECE, _PIECE = 4 << 10, 256 << 10
"""bytes given to zlib at a time; the first is short because most of many streams are"""
_QUICK = 1
"""at level 6 a large JSON answer would hold the loop three times as long, for a tenth less"""


class CompressionMiddleware:
    """Before a handler: unpacks bodies, up to `max_body` bytes, and packs answers for those who accept it.

    Answers of `compress_from` bytes and more are packed; none where that is None.
    """

    def __init__(self, handler: Handler, max_body: int, compress_from: int | None = None) -> None:
        self._handler, self._max_body, self._compress_from = handler, max_body, compress_from
        self.headers_read = handler.headers_read | {_ENCODING} | ({_ACCEPTED} if compress_from is not None else set())
        self.traffic = handler.traffic
        # Without these headers there is nothing to do here, and most requests are without them: not a call more.
        self.submit = handler.submit

    def submit_with(
        self, headers: Mapping[bytes, bytes], method: bytes, target: bytes, body: bytes, exchange: Exchange
    ) -> None:
        """As the handler's, with the body itself."""
        if _ENCODING in headers:
            try:
                body = unpack(headers[_ENCODING], body, self._max_body)
            except Refusal as refusal:
                exchange.respond(refusal.status, refusal.body(), refusal.headers)
                return
        if self._compress_from is not None and _ACCEPTED in headers and accepts_gzip(headers[_ACCEPTED]):
            exchange = _Packed(exchange, self._compress_from)
        self._handler.submit_with(headers, method, target, body, exchange)


def unpack(encoding: bytes, body: bytes, limit: int) -> bytes:
    """The body itself. Raises Refusal: 415 for an encoding not read here, 413 past the limit, 400 for nonsense."""
    encoding = encoding.strip().lower()
    if encoding in (b"", b"identity"):
        return body
    if encoding not in (b"gzip", b"x-gzip", b"deflate"):
        raise Refusal(
            415, f"the content encoding {encoding[:80].decode('latin-1')!r} is not read here; gzip and deflate are"
        )
    try:
        return _unpacked(memoryview(body), limit, deflate=encoding == b"deflate")
    except zlib.error as error:
        raise Refusal(400, f"the body cannot be unpacked: {error}") from None


def _unpacked(body: memoryview, limit: int, *, deflate: bool) -> bytes:
    """All the streams that stand in `body`, one after the other, as gzip allows it.

    zlib hands back what it did not use of its input as a copy. So it is given a piece at a time: the whole body for
    each of a million empty streams would be copied a million times.
    """
    parts, size, at, streams = list[bytes](), 0, 0, 0
    while at < len(body):
        streams += 1
        if streams > _MOST_STREAMS:
            raise Refusal(400, f"the body has more than {_MOST_STREAMS} compressed streams one after the other")
        # "deflate" means zlib's format, but some clients leave its header out: the low bits of the first byte tell.
        bare = deflate and body[at] & 0x0F != 8
        stream = zlib.decompressobj(-zlib.MAX_WBITS if bare else _EITHER)
        piece = _FIRST_PIECE
        while not stream.eof:
            given = body[at : at + piece]
            if not given:
                raise Refusal(400, "the compressed body ends before its end")
            at += len(given)
            part = stream.decompress(given, limit - size + 1)
            size += len(part)
            if size > limit:
                raise Refusal(413, f"the body is larger than {limit} bytes once it is unpacked")
            parts.append(part)
            piece = _PIECE
        at -= len(stream.unused_data)
    return b"".join(parts)


def accepts_gzip(accepted: bytes) -> bool:
    """Whether an Accept-Encoding header allows gzip."""
    for one in accepted.lower().split(b","):
        coding, _, quality = one.partition(b";")
        if coding.strip() in (b"gzip", b"*"):
            return quality.replace(b" ", b"").rstrip(b"0.") not in (b"q=", b"q")
    return False


class _Packed(ExchangeWrapper):
    """An exchange that sends large answers as gzip."""

    def __init__(self, exchange: Exchange, smallest: int) -> None:
        super().__init__(exchange)
        self._smallest = smallest

    def respond(self, status: int, body: bytes, headers: Headers = ()) -> None:
        if len(body) >= self._smallest:
            packer = zlib.compressobj(_QUICK, wbits=_GZIP)
            body = packer.compress(body) + packer.flush()
            headers = (*headers, (b"content-encoding", b"gzip"), (b"vary", b"accept-encoding"))
        self._exchange.respond(status, body, headers)

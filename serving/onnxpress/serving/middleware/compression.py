"""Compressed bodies, unpacked within a limit: a kilobyte cannot become a gigabyte. Answers packed on request."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from functools import partial

from onnxpress.serving import aside
from onnxpress.serving.exchange import CLIENT_GONE, Exchange, ExchangeWrapper, Handler, Headers, fail, no_room
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
"""at level 6 a large JSON answer would take three times as long, for a tenth less"""
_AT_ONCE = 256 << 10
"""bytes, packed or not, up to which the loop does it: 1 ms to unpack, 3 ms to pack. Larger ones go to the thread"""
_HELD = 64 << 10
"""bytes of a body that count as held"""
_TOO_LARGE = 413


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
        if self._compress_from is not None and _ACCEPTED in headers and accepts_gzip(headers[_ACCEPTED]):
            exchange = _Packed(exchange, self._compress_from)
        if _ENCODING not in headers:
            self._handler.submit_with(headers, method, target, body, exchange)
            return
        encoding, unpacked, error = headers[_ENCODING], None, None
        if len(body) < _AT_ONCE:
            try:
                unpacked = unpack(encoding, body, min(_AT_ONCE, self._max_body))
            except Refusal as refusal:
                error = refusal
        go_on = partial(self._unpacked, headers, method, target, exchange, len(body))
        if unpacked is None and (error is None or (error.status == _TOO_LARGE and self._max_body > _AT_ONCE)):
            aside.call(partial(_unpack_for, exchange, encoding, body, self._max_body), go_on)
        else:
            go_on(unpacked, error)

    def _unpacked(
        self,
        headers: Mapping[bytes, bytes],
        method: bytes,
        target: bytes,
        exchange: Exchange,
        packed: int,
        body: bytes | None,
        error: BaseException | None,
    ) -> None:
        """Hand on the body itself, or answer what is wrong with it."""
        if isinstance(error, Refusal):
            exchange.respond(error.status, error.body(), error.headers)
        elif error is not None:
            fail(exchange, error, "unpacking a body")
        elif body is None:
            exchange.respond(CLIENT_GONE, b"")
        elif len(body) >= _HELD and not exchange.hold(max(0, len(body) - packed)):
            no_room(exchange)
        else:
            try:
                self._handler.submit_with(headers, method, target, body, exchange)
            except Exception as unforeseen:
                fail(exchange, unforeseen, "a request")


def _unpack_for(exchange: Exchange, encoding: bytes, body: bytes, limit: int) -> bytes | None:
    """The body itself, None where nobody waits for it any more. Raises Refusal."""
    return None if exchange.gone else unpack(encoding, body, limit)


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
        if len(body) < self._smallest:
            self._exchange.respond(status, body, headers)
        elif len(body) < _AT_ONCE:
            self._packed(status, headers, pack(body), None)
        else:
            aside.call(partial(pack, body), partial(self._packed, status, headers))

    def _packed(self, status: int, headers: Headers, body: bytes | None, error: BaseException | None) -> None:
        if body is None:
            fail(self._exchange, error or MemoryError(), "packing an answer")
            return
        headers = (*headers, (b"content-encoding", b"gzip"), (b"vary", b"accept-encoding"))
        self._exchange.respond(status, body, headers)


def pack(body: bytes) -> bytes:
    """As gzip."""
    packer = zlib.compressobj(_QUICK, wbits=_GZIP)
    return packer.compress(body) + packer.flush()

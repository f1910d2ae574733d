"""The header blocks of one connection: put together out of frames and read as requests, and those of answers."""

from __future__ import annotations

from typing import Final

from onnxpress.serving.exchange import Headers
from onnxpress.serving.transports.http2 import frames, hpack
from onnxpress.serving.transports.http2.frames import Broken
from onnxpress.serving.transports.http2.request import Malformed, Request, check_field, request_of
from onnxpress.serving.transports.response import complete

_PIECES: Final = 32
"""frames of one header block"""
_KNOWN: Final = 64
_KNOWN_BYTES: Final = 2048

UNREAD: Final = Request(b"", b"", None, -1, False, b"")
"""stands for what was too long to be kept"""


_JSON: Final[hpack.Field] = (b"content-type", b"application/json")


class Openings:
    """The header blocks of answers to plain requests. Of the usual one all but the length is kept for its second."""

    __slots__ = ("_date", "_ok")

    def __init__(self) -> None:
        self._date = self._ok = b""

    def block(self, status: int, length: int, headers: Headers, date: bytes) -> bytes:
        """One of them."""
        if status != 200 or headers:
            return hpack.encoded([(b":status", b"%d" % status), (b"date", date), *complete(headers, status, length)])
        if self._date is not date:
            self._date = date
            self._ok = hpack.encoded([(b":status", b"200"), (b"date", date), _JSON])
        return self._ok + hpack.encoded([(b"content-length", b"%d" % length)])


class Blocks:
    """`most`: bytes of a header list. `stream`: the one whose block is not complete; 0 where there is none.

    Clients repeat themselves: a block that changes nothing in the decoder's table is known by its bytes until the table
    changes.
    """

    __slots__ = ("_block", "_changes", "_decoder", "_headers_read", "_known", "_most", "_pieces", "end", "stream")

    def __init__(self, most: int, headers_read: frozenset[bytes]) -> None:
        self._most, self._headers_read = most, headers_read
        self._decoder = hpack.Decoder(most)
        self._known: dict[bytes, Request] = {}
        self._changes = 0  # of the decoder's table, when the known blocks were read
        self._block, self._pieces = b"", 0
        self.stream = 0
        self.end = False
        """the stream's client sends nothing behind this block"""

    def begin(self, stream: int, block: bytes, end: bool) -> None:
        """A block that is continued in other frames. Raises Broken."""
        self._block, self._pieces, self.stream, self.end = block, 0, stream, end

    def add(self, flags: int, part: bytes) -> bytes | None:
        """What continues it; the block, once it is complete. Raises Broken."""
        self._block += part
        self._pieces += 1
        if len(self._block) > self._most or self._pieces > _PIECES:
            raise Broken(frames.ENHANCE_YOUR_CALM, "a header block is too long")
        if not flags & frames.END_HEADERS:
            return None
        block, self._block, self.stream = self._block, b"", 0
        return block

    def forget(self) -> None:
        """What has come of a block is of no use any more."""
        self._block, self.stream = b"", 0

    def request(self, block: bytes) -> Request:
        """What a block asks, or UNREAD. Raises Malformed and Broken."""
        known = self._known.get(block)
        if known is not None:
            return known
        fields = self._fields(block)
        if fields is None:
            return UNREAD
        stale = self._decoder.changes != self._changes
        self._stale()
        request = request_of(fields, self._headers_read)
        if not stale and len(block) <= _KNOWN_BYTES:
            if len(self._known) >= _KNOWN:
                self._known.clear()
            self._known[block] = request
        return request

    def check_trailers(self, block: bytes, end: bool) -> None:
        """Read fields behind a body, of which nothing is wanted. Raises Malformed and Broken."""
        fields = self._fields(block)
        self._stale()
        if not end:
            raise Malformed("trailers do not end the stream")
        for name, value in fields or []:
            check_field(name, value)

    def _fields(self, block: bytes) -> list[hpack.Field] | None:
        decoder = self._decoder
        try:
            return decoder.decode(block)
        except hpack.TooLong:
            self._stale()
            return None
        except hpack.Unreadable as error:
            raise Broken(frames.COMPRESSION_ERROR, str(error)) from None

    def _stale(self) -> None:
        if self._decoder.changes != self._changes:
            self._changes = self._decoder.changes
            self._known.clear()

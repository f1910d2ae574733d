"""HPACK (RFC 7541): header blocks read with the table that both sides keep, and written without one."""

from __future__ import annotations

from typing import Final

from onnxpress.serving.transports.http2 import huffman

Field = tuple[bytes, bytes]

STATIC: Final[list[Field]] = [
    (b":authority", b""), (b":method", b"GET"), (b":method", b"POST"), (b":path", b"/"), (b":path", b"/index.html"),
    (b":scheme", b"http"), (b":scheme", b"https"), (b":status", b"200"), (b":status", b"204"), (b":status", b"206"),
    (b":status", b"304"), (b":status", b"400"), (b":status", b"404"), (b":status", b"500"), (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"), (b"accept-language", b""), (b"accept-ranges", b""), (b"accept", b""),
    (b"access-control-allow-origin", b""), (b"age", b""), (b"allow", b""), (b"authorization", b""),
    (b"cache-control", b""), (b"content-disposition", b""), (b"content-encoding", b""), (b"content-language", b""),
    (b"content-length", b""), (b"content-location", b""), (b"content-range", b""), (b"content-type", b""),
    (b"cookie", b""), (b"date", b""), (b"etag", b""), (b"expect", b""), (b"expires", b""), (b"from", b""),
    (b"host", b""), (b"if-match", b""), (b"if-modified-since", b""), (b"if-none-match", b""), (b"if-range", b""),
    (b"if-unmodified-since", b""), (b"last-modified", b""), (b"link", b""), (b"location", b""),
    (b"max-forwards", b""), (b"proxy-authenticate", b""), (b"proxy-authorization", b""), (b"range", b""),
    (b"referer", b""), (b"refresh", b""), (b"retry-after", b""), (b"server", b""), (b"set-cookie", b""),
    (b"strict-transport-security", b""), (b"transfer-encoding", b""), (b"user-agent", b""), (b"vary", b""),
    (b"via", b""), (b"www-authenticate", b""),
]  # fmt: skip
"""appendix A; numbered from 1"""
_NUMBER_OF: Final[dict[bytes, int]] = {name: number for number, (name, _) in reversed(list(enumerate(STATIC, 1)))}
_EXACT: Final[dict[Field, int]] = {field: number for number, field in enumerate(STATIC, 1)}
TABLE_BYTES: Final = 4096
"""of the dynamic table, at most: what peers take for granted where nothing else is said"""
_OVERHEAD: Final = 32
"""bytes that each entry counts beside its text (RFC 7541, 4.1)"""
_LONGEST_NUMBER: Final = 1 << 28


class Unreadable(Exception):
    """A block that cannot be read: the connection is lost, as the tables of its sides differ from here on."""


class TooLong(Exception):
    """A header list of more bytes than are taken. The tables of both sides are the same still."""


class Decoder:
    """One connection's. `most`: bytes of a header list, counted as the RFC does, beyond which it is not kept.

    >>> Decoder(1000).decode(bytes.fromhex("828684"))
    [(b':method', b'GET'), (b':scheme', b'http'), (b':path', b'/')]
    """

    __slots__ = ("_limit", "_most", "_size", "_table", "changes")

    def __init__(self, most: int) -> None:
        self._most = most
        self._table: list[Field] = []  # the newest last
        self._size, self._limit = 0, TABLE_BYTES
        self.changes = 0
        """how often the table has changed: a block that changes nothing says the same until it does"""

    @property
    def table(self) -> list[Field]:
        """The dynamic table, the newest entry first."""
        return self._table[::-1]

    def decode(self, block: bytes) -> list[Field]:
        """The fields. Raises Unreadable, or TooLong once the whole block is read."""
        try:
            fields, size = self._fields(block)
        except (IndexError, ValueError) as error:
            raise Unreadable(str(error)) from None
        if size > self._most:
            raise TooLong
        return fields

    def _fields(self, block: bytes) -> tuple[list[Field], int]:
        found: list[Field] = []
        at, end, size = 0, len(block), 0
        while at < end:
            first = block[at]
            if first & 0x80:
                number, at = _number(block, at, 0x7F)
                field = self._entry(number)
            elif first & 0xE0 == 0x20:
                limit, at = _number(block, at, 0x1F)
                if found or limit > TABLE_BYTES:
                    raise ValueError("the size of the table changes where it must not, or to too much")
                self._limit = limit
                self.changes += 1
                self._evict()
                continue
            else:
                keeps = first & 0xC0 == 0x40
                number, at = _number(block, at, 0x3F if keeps else 0x0F)
                if number:
                    name = self._entry(number)[0]
                else:
                    name, at = _string(block, at)
                value, at = _string(block, at)
                field = (name, value)
                if keeps:
                    self._add(field)
            size += len(field[0]) + len(field[1]) + _OVERHEAD
            if size <= self._most:
                found.append(field)
        return found, size

    def _entry(self, number: int) -> Field:
        if number == 0:
            raise ValueError("there is no entry 0")
        if number <= 61:
            return STATIC[number - 1]
        place = len(self._table) - (number - 61)
        if place < 0:
            raise ValueError("an entry that the table has not")
        return self._table[place]

    def _add(self, field: Field) -> None:
        self._table.append(field)
        self._size += len(field[0]) + len(field[1]) + _OVERHEAD
        self.changes += 1
        self._evict()

    def _evict(self) -> None:
        while self._size > self._limit:
            name, value = self._table.pop(0)
            self._size -= len(name) + len(value) + _OVERHEAD


def _number(block: bytes, at: int, mask: int) -> tuple[int, int]:
    """An integer with a prefix of the bits in `mask` (RFC 7541, 5.1), and where the next thing begins."""
    value = block[at] & mask
    at += 1
    if value < mask:
        return value, at
    shift = 0
    while True:
        byte = block[at]
        at += 1
        value += (byte & 0x7F) << shift
        if value > _LONGEST_NUMBER or shift > 28:
            raise ValueError("a number is too large")
        if byte < 0x80:
            return value, at
        shift += 7


def _string(block: bytes, at: int) -> tuple[bytes, int]:
    coded = block[at] & 0x80
    length, at = _number(block, at, 0x7F)
    end = at + length
    if end > len(block):
        raise ValueError("a string is cut off")
    text = block[at:end]
    return (huffman.decoded(text) if coded else text), end


def encoded(fields: list[Field]) -> bytes:
    """A block of these fields, whose names are in lower case, that leaves the other side's table as it is.

    >>> encoded([(b":status", b"200"), (b"x", b"y")]).hex()
    '880001780179'
    """
    parts = []
    for field in fields:
        number = _EXACT.get(field)
        if number is not None:
            parts.append(bytes((0x80 | number,)))
            continue
        name, value = field
        number = _NUMBER_OF.get(name)
        if number is None:
            parts += (b"\0", _prefixed(len(name), 0x7F), name, _prefixed(len(value), 0x7F), value)
        else:
            parts += (_prefixed(number, 0x0F), _prefixed(len(value), 0x7F), value)
    return b"".join(parts)


def _prefixed(value: int, mask: int) -> bytes:
    """An integer behind a prefix of zeros."""
    if value < mask:
        return bytes((value,))
    found = bytearray((mask,))
    value -= mask
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)

"""The Huffman code of header strings (RFC 7541, appendix B): read, and never written here."""

from __future__ import annotations

from typing import Final

_LENGTHS = (
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28,
    28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15,
    6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22,
    20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23,
    23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22,
    22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26,
    27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27,
    26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
)  # fmt: skip
"""bits of the code of each octet, and of the end of a string. The code is canonical: these say all of it"""
_END: Final = 256
_SHORTEST: Final = 5
_LONGEST: Final = 30
_STRAY: Final = 8
"""bits that may not follow the last octet: a whole octet of padding is an error"""

_SYMBOLS: Final[list[int]] = sorted(range(257), key=lambda symbol: (_LENGTHS[symbol], symbol))
"""by their codes"""


def _canonical() -> tuple[list[int], list[int], list[int]]:
    """For each length: its first code, how many codes it has, and where their symbols begin in `_SYMBOLS`."""
    first, count, start = [0], [0], [0]
    code = symbols = 0
    for length in range(1, _LONGEST + 1):
        code <<= 1
        found = _LENGTHS.count(length)
        first.append(code)
        count.append(found)
        start.append(symbols)
        code, symbols = code + found, symbols + found
    return first, count, start


_TABLES: Final = _canonical()


def decoded(data: bytes) -> bytes:
    """The string. Raises ValueError where it is no Huffman code, or is padded with anything but a few 1 bits.

    >>> decoded(bytes.fromhex("f1e3c2e5f23a6ba0ab90f4ff"))
    b'www.example.com'
    """
    first, count, start = _TABLES
    found = bytearray()
    bits = held = at = 0
    size = len(data)
    while True:
        while bits < _LONGEST and at < size:
            held = (held << 8 | data[at]) & 0xFFFFFFFFFF
            bits += 8
            at += 1
        length = _SHORTEST
        while length <= _LONGEST and length <= bits:
            number = (held >> (bits - length)) - first[length]
            if 0 <= number < count[length]:
                break
            length += 1
        else:
            # What is left is no code: padding, which is the beginning of the end's code, or a fault.
            if bits < _STRAY and held == (1 << bits) - 1:
                return bytes(found)
            raise ValueError("a string is no Huffman code, or its padding is wrong")
        symbol = _SYMBOLS[start[length] + number]
        if symbol == _END:
            raise ValueError("a Huffman string holds the code of its end")
        found.append(symbol)
        bits -= length
        held &= (1 << bits) - 1

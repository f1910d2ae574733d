"""The Huffman code of header strings (RFC 7541, appendix B): read, and never written here."""

from __future__ import annotations

from typing import Final

_LENGTHS: Final = bytes.fromhex(
    "0d 17 1c 1c 1c 1c 1c 1c 1c 18 1e 1c 1c 1e 1c 1c 1c 1c 1c 1c 1c 1c 1e 1c 1c 1c 1c 1c 1c 1c 1c 1c "
    "06 0a 0a 0c 0d 06 08 0b 0a 0a 08 0b 08 06 06 06 05 05 05 06 06 06 06 06 06 06 07 08 0f 06 0c 0a "
    "0d 06 07 07 07 07 07 07 07 07 07 07 07 07 07 07 07 07 07 07 07 07 07 07 08 07 08 0d 13 0d 0e 06 "
    "0f 05 06 05 06 05 06 06 06 05 07 07 06 06 06 05 06 07 06 05 05 06 07 07 07 07 07 0f 0b 0e 0d 1c "
    "14 16 14 14 16 16 16 17 16 17 17 17 17 17 18 17 18 18 16 17 18 17 17 17 17 15 16 17 16 17 17 18 "
    "16 15 14 16 16 17 17 15 17 16 16 18 15 16 17 17 15 15 16 15 17 16 17 17 14 16 16 16 17 16 16 17 "
    "1a 1a 14 13 16 17 16 19 1a 1a 1a 1b 1b 1a 18 19 13 15 1a 1b 1b 1a 1b 18 15 15 1a 1a 1c 1b 1b 1b "
    "14 18 14 15 16 15 15 17 16 16 19 19 18 18 1a 17 1a 1b 1a 1a 1b 1b 1b 1b 1b 1c 1b 1b 1b 1b 1b 1a "
    "1e"
)
"""bits of the code of each octet, and of the end of a string. The code is canonical: these say all of it. They are text
because mypyc makes a C struct of a tuple, and for one of 257 a compiler takes more than ten minutes."""
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

"""NaN, Infinity and -Infinity where JSON has no word for them, as Python, TensorFlow Serving and Triton write them.

A text that is refused as JSON is looked at again: each such word outside of strings becomes an object that stands for
it, so that the strict reader can go over the rest. In a float tensor the object is the number, anywhere else it is an
object that does not belong there.
"""

from __future__ import annotations

import re
from typing import Any

_WORD = rb'(?s)"(?:[^"\\]++|\\.)*+"?|(-?)(NaN|Inf(?:inity)?)(?![A-Za-z0-9_])'
"""a string, whole or cut off, or a word; what it has read it does not read again, so that its time is linear"""
_KEY = "number that JSON has not"


def marked(text: bytes) -> bytes | None:
    """The text with an object for each word; None where there is none.

    >>> marked(b'[1, NaN, "NaN"]')
    b'[1, {"number that JSON has not":"nan"}, "NaN"]'
    """
    if b"NaN" not in text and b"Inf" not in text:
        return None
    return re.sub(_WORD, _object, text)


def levelled(text: bytes) -> bytearray | None:
    """The text with a number as long as the word in place of each, so that all stands where it stood; None as above.

    >>> bytes(levelled(b'{"NaN":[NaN,-Infinity]}'))
    b'{"NaN":[1e0,-1e000000]}'
    """
    if b"NaN" not in text and b"Inf" not in text:
        return None
    found = bytearray(text)
    for match in re.finditer(_WORD, text):
        if match[2] is not None:
            start, stop = match.span(2)
            found[start:stop] = b"1e0".ljust(stop - start, b"0")
    return found


def _object(match: re.Match[bytes]) -> bytes:
    word = match[2]
    if word is None:
        return match[0]
    value = b"nan" if word == b"NaN" else b"-inf" if match[1] else b"inf"
    return b'{"%b":"%b"}' % (_KEY.encode(), value)


def shown(value: Any) -> Any:
    """What stands for a word as that word; any other value as it is."""
    found = number(value)
    return value if found is None else {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(found)]


def number(value: Any) -> float | None:
    """The number that an object stands for; None for any other value."""
    if isinstance(value, dict) and value.keys() == {_KEY} and value[_KEY] in ("nan", "inf", "-inf"):
        return float(value[_KEY])
    return None

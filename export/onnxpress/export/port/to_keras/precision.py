"""Layers that compute in another precision than Keras's default: each constructor says so."""

from __future__ import annotations

import re
from collections.abc import Iterable


def in_precision(line: str, classes: Iterable[str], dtype: str) -> str:
    """The line with `dtype=` in every call that makes a layer of Keras, or of one of these classes."""
    names = "|".join([r"layers\.(?!Layer\b)[A-Z]\w*", r"keras\.Sequential", *(rf"\b{one}" for one in classes)])
    made = re.compile(rf"(?<!class )(?:{names})\(")
    found, start = "", 0
    while (match := made.search(line, start)) is not None:
        end = _closing(line, match.end())
        inner = in_precision(line[match.end() : end], classes, dtype)
        said = "" if match[0] == "keras.Sequential(" else f'dtype="{dtype}"'
        found += line[start : match.end()] + ", ".join(part for part in (inner, said) if part)
        start = end
    return found + line[start:]


def _closing(line: str, place: int) -> int:
    """Where the bracket closes that opens before `place`."""
    depth, quoted = 1, False
    for number in range(place, len(line)):
        sign = line[number]
        quoted ^= sign == '"'
        if not quoted:
            depth += (sign in "([{") - (sign in ")]}")
        if not depth:
            return number
    return len(line)

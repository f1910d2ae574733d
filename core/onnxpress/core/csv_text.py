"""What training and serving both ask of a CSV file before they read its values: its encoding, and a header."""

from __future__ import annotations

import codecs
from collections.abc import Iterable

from onnxpress.core.errors import BadData

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def encoding(begin: bytes) -> str:
    """Of a file that begins so: UTF-8, or UTF-16 where its mark stands there, as spreadsheets write it.

    >>> encoding(b"a,b")
    'utf-8-sig'
    """
    return "utf-16" if begin.startswith(_UTF_16) else "utf-8-sig"


def refuse_numbers(names: Iterable[str], where: str) -> None:
    """Raises BadData where every name is a number: that is a row, and the header is missing."""
    if all(map(_is_number, names)):
        raise BadData(
            "the first line holds numbers, where a header must be",
            where=where,
            hint="write the columns' names into the first line",
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True

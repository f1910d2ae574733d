"""Protobuf messages of a few fields: read into dicts, and written out of them, by tables of their fields.

A table has numbers → (name, kind) for reading, and names → (number, kind) for writing. A kind is str, bool, int (a
varint, signed as int64), float (a double), bytes (left as it is), another table, or a list of enum names for writing.
For reading `[kind]` is a repeated field.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any

from onnxpress.core.errors import BadModel
from onnxpress.core.onnx_graph import wire
from onnxpress.serving.protocol.refusal import Refusal

Reading = Mapping[int, tuple[str, Any]]
Writing = Mapping[str, tuple[int, Any]]

_MOST = 20_000
"""fields of a message and all in it; numbers in one repeated field count too"""
_SCALARS = {bool: wire.VARINT, int: wire.VARINT, float: wire.FIXED64, str: wire.BYTES, bytes: wire.BYTES}


def decoded(table: Reading, data: bytes, what: str) -> dict[str, Any]:
    """The fields of a message that are in the table. Raises Refusal; `what` names the message there.

    >>> decoded({1: ("name", str), 2: ("sizes", [int])}, b"\\x0a\\x01x\\x12\\x02\\x01\\x02", "example")
    {'name': 'x', 'sizes': [1, 2]}
    """
    try:
        return _Message(data).read(table, 0, len(data))
    except (BadModel, UnicodeDecodeError, IndexError, struct.error, _Off):
        raise Refusal(400, f"the message is no {what}, or is cut off") from None


class _Off(Exception):
    """A field is not what the table says, or there are too many."""


class _Message:
    def __init__(self, data: bytes) -> None:
        self._data, self._left = data, _MOST

    def read(self, table: Reading, at: int, end: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, start, stop in wire.fields(self._data, at, end):
            self._left -= 1
            if self._left < 0 or key < 8:
                raise _Off
            name, kind = table.get(key >> 3, ("", None))
            if kind is None:
                continue
            if isinstance(kind, list):
                values = found.setdefault(name, [])
                if kind[0] is int and key & 7 == wire.BYTES:
                    for value in wire.packed_ints(self._data, start, stop):
                        self._left -= 1
                        if self._left < 0:
                            raise _Off
                        values.append(value)
                else:
                    values.append(self._value(kind[0], key & 7, start, stop))
            else:
                found[name] = self._value(kind, key & 7, start, stop)
        return found

    def _value(self, kind: Any, written: int, start: int, stop: int) -> Any:
        if written != (wire.BYTES if isinstance(kind, dict) else _SCALARS[kind]):
            raise _Off
        if kind is bool:
            return start != 0
        if kind is int:
            return wire.signed(start)
        if kind is float:
            return struct.unpack_from("<d", self._data, start)[0]
        if kind is str:
            return self._data[start:stop].decode()
        if kind is bytes:
            return memoryview(self._data)[start:stop]
        return self.read(kind, start, stop)


def encoded(table: Writing, document: Mapping[str, Any]) -> bytes:
    """The message of what in a document the table has; what is 0, False or empty stands for itself by its absence.

    >>> encoded({"name": (1, str), "sizes": (2, int)}, {"name": "x", "sizes": [1, -1], "more": 1}).hex()
    '0a0178120b01ffffffffffffffffff01'
    """
    return b"".join(_fields(table, document))


def _fields(table: Writing, document: Mapping[str, Any]) -> Iterator[bytes]:
    for name, value in document.items():
        if name not in table:
            continue
        number, kind = table[name]
        if isinstance(value, list):
            if kind is int:
                if value:
                    yield field(number, b"".join([varint(one) for one in value]))
            else:
                for one in value:
                    yield field(number, one.encode() if kind is str else encoded(kind, one))
        elif isinstance(kind, dict):
            yield field(number, encoded(kind, value))
        elif kind is str:
            if value:
                yield field(number, value.encode())
        else:
            whole = kind.index(value) if isinstance(kind, list) else int(value)
            if whole:
                yield varint(number << 3) + varint(whole)


def varint(value: int) -> bytes:
    """A number as int64 and uint64 are written.

    >>> varint(300).hex()
    'ac02'
    """
    value &= 0xFFFFFFFFFFFFFFFF
    if value < 0x80:
        return bytes((value,))
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def field(number: int, content: bytes) -> bytes:
    """A field of bytes, text or a message."""
    return varint(number << 3 | wire.BYTES) + varint(len(content)) + content

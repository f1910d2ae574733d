"""Protobuf's wire format: the fields of a message, as places in a buffer that is never copied."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator

from onnxpress.core.errors import BadModel

Buffer = mmap.mmap | bytes
"""What is read: a whole file mapped, or bytes."""

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""the wire types; groups (3 and 4) are in no ONNX file"""

_LONGEST = 63
"""the highest shift of a varint: ten bytes"""


def damaged(why: str) -> BadModel:
    """The error for a file that is not what it should be; whoever knows the file's name puts it into `where`."""
    return BadModel(f"it is not an ONNX model, or a damaged one: {why}", hint="export or copy the model again")


def fields(data: Buffer, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The fields of the message in `data[at:end]`, in order: key (number << 3 | wire type) and two numbers.

    For BYTES and the fixed widths these are the start and the end of the content; for a VARINT its value, unsigned, and
    -1. Raises BadModel where the message is cut off or holds what no protobuf writer makes.
    """
    try:
        while at < end:
            key = data[at]
            at += 1
            if key > 127:
                key, at = varint(data, at - 1)
                if key > 0xFFFFFFFF:  # a reader that cuts it to 32 bits would see another field
                    raise damaged("a field number is too large")
            kind = key & 7
            if kind == 2:
                size = data[at]
                at += 1
                if size > 127:
                    size, at = varint(data, at - 1)
                start = at
                at += size
                if at > end:
                    raise damaged("a field is cut off")
                yield key, start, at
            elif kind == 0:
                value = data[at]
                at += 1
                if value > 127:
                    value, at = varint(data, at - 1)
                yield key, value, -1
            elif kind == 5 or kind == 1:
                start = at
                at += 4 if kind == 5 else 8
                if at > end:
                    raise damaged("a number is cut off")
                yield key, start, at
            else:
                raise damaged(f"wire type {kind}")
    except IndexError:
        raise damaged("it ends within a field") from None
    if at != end:
        raise damaged("a field is longer than its message")


def varint(data: Buffer, at: int) -> tuple[int, int]:
    """An unsigned number of up to 64 bits, and where the next thing begins."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
        if shift > _LONGEST:
            raise damaged("a number has more than ten bytes")


def signed(value: int) -> int:
    """A varint read as int64, as it is written for every signed type of ONNX."""
    return value - (1 << 64) if value >> 63 else value


def text(data: Buffer, start: int, end: int) -> str:
    """UTF-8; bytes that are none stay distinguishable, as Python keeps them in file names."""
    return data[start:end].decode("utf-8", "surrogateescape")


def packed_ints(data: Buffer, at: int, end: int) -> Iterator[int]:
    """The int64 numbers of a packed field. Raises BadModel where the last one is cut off."""
    try:
        while at < end:
            value, at = varint(data, at)
            yield signed(value)
    except IndexError:
        raise damaged("it ends within a number") from None
    if at != end:
        raise damaged("packed numbers are longer than their field")


def packed_floats(data: Buffer, start: int, end: int, letter: str = "f") -> tuple[float, ...]:
    """The numbers of a packed field of float (`f`) or double (`d`)."""
    width = 4 if letter == "f" else 8
    if (end - start) % width:
        raise damaged("packed numbers are cut off")
    return struct.unpack(f"<{(end - start) // width}{letter}", data[start:end])

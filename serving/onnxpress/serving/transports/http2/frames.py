"""Frames of HTTP/2 as bytes, and the words of RFC 9113 for what is in them."""

from __future__ import annotations

import struct
from typing import Final

DATA: Final = 0
HEADERS: Final = 1
PRIORITY: Final = 2
RST_STREAM: Final = 3
SETTINGS: Final = 4
PUSH_PROMISE: Final = 5
PING: Final = 6
GOAWAY: Final = 7
WINDOW_UPDATE: Final = 8
CONTINUATION: Final = 9

END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
WITH_PRIORITY: Final = 0x20

NO_ERROR: Final = 0
PROTOCOL_ERROR: Final = 1
INTERNAL_ERROR: Final = 2
FLOW_CONTROL_ERROR: Final = 3
STREAM_CLOSED: Final = 5
FRAME_SIZE_ERROR: Final = 6
REFUSED_STREAM: Final = 7
CANCEL: Final = 8
COMPRESSION_ERROR: Final = 9
ENHANCE_YOUR_CALM: Final = 11

HEADER_TABLE_SIZE: Final = 1
ENABLE_PUSH: Final = 2
MAX_CONCURRENT_STREAMS: Final = 3
INITIAL_WINDOW_SIZE: Final = 4
MAX_FRAME_SIZE: Final = 5
MAX_HEADER_LIST_SIZE: Final = 6

HEAD: Final = 9
"""bytes of a frame before its payload"""
PAYLOAD: Final = 16384
"""bytes of a payload that every peer takes"""
WINDOW: Final = 65535
"""bytes that may be on their way before a window is updated, where nothing else is said"""
MOST: Final = 0x7FFFFFFF
"""the largest window, and the highest number of a stream"""

_frame_head = struct.Struct(">HBBBI").pack
_pair = struct.Struct(">HI")


class Broken(Exception):
    """What ends the connection; `code` is the error's number in RFC 9113."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code, self.why = code, why


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """One frame.

    >>> frame(PING, ACK, 0, b"12345678").hex()
    '0000080601000000003132333435363738'
    """
    size = len(payload)
    return _frame_head(size >> 8, size & 0xFF, kind, flags, stream) + payload


def settings(values: dict[int, int]) -> bytes:
    """A SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join([_pair.pack(number, value) for number, value in values.items()]))


def settings_of(payload: bytes) -> list[tuple[int, int]]:
    """Numbers and values of a SETTINGS frame, in order. Raises Broken."""
    if len(payload) % 6:
        raise Broken(FRAME_SIZE_ERROR, "SETTINGS of a wrong length")
    return [(number, value) for number, value in _pair.iter_unpack(payload)]


def window_update(stream: int, size: int) -> bytes:
    """So many bytes more may be sent."""
    return frame(WINDOW_UPDATE, 0, stream, size.to_bytes(4, "big"))


def rst_stream(stream: int, code: int) -> bytes:
    """The end of one stream."""
    return frame(RST_STREAM, 0, stream, code.to_bytes(4, "big"))


def goaway(last: int, code: int, why: str = "") -> bytes:
    """The end of the connection: streams above `last` are not answered."""
    return frame(GOAWAY, 0, 0, last.to_bytes(4, "big") + code.to_bytes(4, "big") + why.encode())


def number_of(payload: bytes, at: int = 0) -> int:
    """31 bits."""
    return (payload[at] & 0x7F) << 24 | payload[at + 1] << 16 | payload[at + 2] << 8 | payload[at + 3]


def unpadded(flags: int, payload: bytes) -> bytes:
    """The payload of DATA or HEADERS without its padding. Raises Broken."""
    if not flags & PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise Broken(PROTOCOL_ERROR, "more padding than frame")
    return payload[1 : len(payload) - payload[0]]


def check_window(size: int) -> None:
    """Raise Broken for a window that is larger than any may be."""
    if size > MOST:
        raise Broken(FLOW_CONTROL_ERROR, "a window of more than 31 bits")

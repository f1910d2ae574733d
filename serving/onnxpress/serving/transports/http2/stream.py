"""Where one request on an HTTP/2 connection stands, from its headers to the last byte of its answer."""

from __future__ import annotations

from typing import Final

from onnxpress.serving.transports.http2.request import Request

_SMALL: Final = 256


class Stream:
    """One stream; see `streams` for what is done with it."""

    __slots__ = (
        "answered", "ended", "held", "id", "lost", "more", "owed", "parts", "received", "request", "sent",
        "since", "size", "trailers", "window",
    )  # fmt: skip

    def __init__(self, number: int, request: Request, window: int, since: int) -> None:
        self.id, self.request, self.window = number, request, window
        self.since = since
        """the second in which it last began to wait for something"""
        self.parts: list[bytes] = []
        """of the body"""
        self.size = self.received = 0
        """bytes of the body, and those of them for which no window is given back yet"""
        self.held = 0
        """bytes that count against max_held: of the body, and then of what of the answer is not sent"""
        self.ended = False
        """the client has sent all"""
        self.answered = self.lost = False
        """the answer is known; it is reset, or its connection is gone"""
        self.owed: bytes | None = None
        """of the answer's data, what cannot be sent yet"""
        self.sent = 0
        """bytes of `owed` that are"""
        self.more = False
        """other data may follow those that are owed"""
        self.trailers = b""
        """the block that follows the data; b"" where none does"""


def append(parts: list[bytes], part: bytes) -> None:
    """Add a part of a body. Small ones are put together: an object for each byte would be thirty times the body."""
    if parts and len(part) < _SMALL and len(parts[-1]) < _SMALL:
        parts[-1] += part
    else:
        parts.append(part)

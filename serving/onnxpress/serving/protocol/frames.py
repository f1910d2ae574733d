"""Frames: the bytes around the numbers of requests that were seen before, and what they say.

Clients repeat themselves: all but the numbers is the same bytes again and again. A request in a known frame is only
cut; its numbers are decoded with those of all others of its run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from onnxpress.serving.protocol.inputs import Inputs
from onnxpress.serving.protocol.tensor_data import NOT_JSON

_KEPT = 256
_LONGEST = 1024
"""bytes before the numbers, and bytes behind them"""


class _Frame:
    __slots__ = ("before", "behind", "rows", "shapes", "size", "tails")

    def __init__(
        self,
        before: bytes,
        behind: bytes,
        shapes: list[list[int]],
        rows: int,
        size: int,
        tails: tuple[tuple[int, ...], ...],
    ) -> None:
        self.before, self.behind = before, behind
        self.shapes, self.rows, self.size, self.tails = shapes, rows, size, tails


class Frames:
    """The frames of requests to one model of one input.

    `values_of` decodes a list of its values; `data_of` a whole request, for what it holds as values. Both raise
    NOT_JSON.
    """

    def __init__(self, values_of: Callable[[bytes], list[Any]], data_of: Callable[[bytes], list[Any]]) -> None:
        self._values_of, self._data_of = values_of, data_of
        self._known: dict[tuple[bytes, bytes], _Frame] = {}
        self._last: _Frame | None = None
        """the one that was last of use"""

    def learn(
        self, body: bytes, shapes: list[list[int]], rows: int, data: list[Any], tails: tuple[tuple[int, ...], ...]
    ) -> None:
        """Keep what stands around the numbers of this request, if they stand where `cut` looks for them.

        They do if they are the values, and if without them there are no values: then no text between these two
        parts can mean anything but the values.
        """
        start, stop = _numbers(body)
        before, behind = body[:start], body[stop:]
        if start > _LONGEST or len(behind) > _LONGEST:
            return
        try:
            if self._values_of(b"[%b]" % body[start:stop]) != data or self._data_of(before + behind):
                return
        except NOT_JSON:
            return
        if len(self._known) >= _KEPT:
            self._known.clear()
        self._known[before, behind] = _Frame(before, behind, shapes, rows, len(data), tails)

    def cut(self, body: bytes) -> Inputs | None:
        """A request in a known frame, its numbers as text; None for any other."""
        frame = self._last
        if frame is not None and body.startswith(frame.before) and body.endswith(frame.behind):
            text = body[len(frame.before) : len(body) - len(frame.behind)]
            if text.find(b"]") < 0 and text.count(b",") + 1 == frame.size:
                return Inputs([text], frame.shapes, frame.rows, frame.size, frame.tails, None, None)
        start, stop = _numbers(body)
        if start > _LONGEST or len(body) - stop > _LONGEST:
            return None
        frame = self._known.get((body[:start], body[stop:]))
        if frame is None:
            return None
        self._last = frame
        text = body[start:stop]
        if text.count(b",") + 1 != frame.size:
            return None
        return Inputs([text], frame.shapes, frame.rows, frame.size, frame.tails, None, None)


def _numbers(body: bytes) -> tuple[int, int]:
    """Where the first list behind `"data"` begins and ends, if it holds nothing but numbers."""
    start = body.find(b"[", body.find(b'"data"')) + 1
    return start, body.find(b"]", start)

"""The frames that a client sends, each taken for what it is: settings, windows, the parts of its requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from onnxpress.serving.transports.http2 import frames
from onnxpress.serving.transports.http2.blocks import Blocks
from onnxpress.serving.transports.http2.frames import Broken
from onnxpress.serving.transports.http2.request import Malformed
from onnxpress.serving.transports.http2.sending import Sending
from onnxpress.serving.transports.http2.streams import Streams

ALL_WINDOW: Final = 16 << 20
"""bytes of data that a client may send ahead on all streams"""
_SETTINGS: Final = 10
_SMALL: Final = 2
_WITH_PRIORITY: Final = 5
_LARGE: Final = 4096
"""bytes by which a window grows where that is worth a frame"""


class Receiving:
    """One connection's. `on_goaway` is called when the client wants no more."""

    __slots__ = ("_blocks", "_greeted", "_on_goaway", "_received", "_sending", "_streams")

    def __init__(self, sending: Sending, streams: Streams, blocks: Blocks, on_goaway: Callable[[], None]) -> None:
        self._sending, self._streams, self._blocks, self._on_goaway = sending, streams, blocks, on_goaway
        self._received = 0  # bytes of data for which the connection's window is not given back yet
        self._greeted = False

    def take(self, kind: int, flags: int, number: int, payload: bytes, last: bool) -> None:
        """One frame; `last`: nothing more is here. Raises Broken where the connection cannot go on."""
        if self._blocks.stream:
            if kind != frames.CONTINUATION or number != self._blocks.stream:
                raise Broken(frames.PROTOCOL_ERROR, "a header block is interrupted")
            block = self._blocks.add(flags, payload)
            if block is not None:
                self._block(number, block, self._blocks.end, last)
        elif not self._greeted:
            if kind != frames.SETTINGS or flags & frames.ACK:
                raise Broken(frames.PROTOCOL_ERROR, "SETTINGS must come first")
            self._greeted = True
            self._settings(flags, number, payload)
        elif kind == frames.HEADERS:
            self._headers(flags, number, payload, last)
        elif kind == frames.DATA:
            self._data(flags, number, payload, last)
        elif kind == frames.WINDOW_UPDATE:
            self._window_update(number, payload)
        elif kind == frames.RST_STREAM:
            self._of_stream(number, len(payload), 4)
            self._streams.cancel(number)
        elif kind == frames.SETTINGS:
            self._settings(flags, number, payload)
        else:
            self._small(kind, flags, number, payload)

    def _small(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        """What has no part in a request."""
        self._streams.strain += _SMALL
        if kind == frames.PING:
            _of_connection(number, len(payload), 8)
            if not flags & frames.ACK:
                self._sending.put(frames.frame(frames.PING, frames.ACK, 0, payload))
        elif kind == frames.PRIORITY:
            if not number:
                raise Broken(frames.PROTOCOL_ERROR, "PRIORITY of no stream")
            if len(payload) != _WITH_PRIORITY:
                self._streams.reset(number, frames.FRAME_SIZE_ERROR)
            elif frames.number_of(payload) == number:
                self._streams.reset(number, frames.PROTOCOL_ERROR)
        elif kind == frames.GOAWAY:
            _of_connection(number, min(8, len(payload)), 8)
            self._on_goaway()
        elif kind in (frames.PUSH_PROMISE, frames.CONTINUATION):
            raise Broken(frames.PROTOCOL_ERROR, "a frame that a client must not send here")

    def _of_stream(self, number: int, size: int, wanted: int) -> None:
        if size != wanted:
            raise Broken(frames.FRAME_SIZE_ERROR, "a frame of a wrong length")
        if not number or number > self._streams.opened:
            raise Broken(frames.PROTOCOL_ERROR, "a frame of a stream that has not begun")

    def _settings(self, flags: int, number: int, payload: bytes) -> None:
        self._streams.strain += _SETTINGS
        _of_connection(number, len(payload) if flags & frames.ACK else 0, 0)
        if flags & frames.ACK:
            return
        sending = self._sending
        for name, value in frames.settings_of(payload):
            if name == frames.ENABLE_PUSH and value > 1:
                raise Broken(frames.PROTOCOL_ERROR, "ENABLE_PUSH is 0 or 1")
            if name == frames.MAX_FRAME_SIZE and not frames.PAYLOAD <= value < 1 << 24:
                raise Broken(frames.PROTOCOL_ERROR, "MAX_FRAME_SIZE is 16384 or more")
            if name == frames.INITIAL_WINDOW_SIZE:
                for stream in self._streams.open.values():
                    stream.window += value - sending.initial
                    frames.check_window(stream.window)
                frames.check_window(value)
                sending.initial = value
        sending.put(frames.frame(frames.SETTINGS, frames.ACK, 0, b""))
        self._streams.pump()

    def _window_update(self, number: int, payload: bytes) -> None:
        if number:
            self._of_stream(number, len(payload), 4)
        else:
            _of_connection(number, len(payload), 4)
        more = frames.number_of(payload)
        if more < _LARGE or not self._sending.owes:
            self._streams.strain += 1
        if number == 0:
            if more == 0:
                raise Broken(frames.PROTOCOL_ERROR, "a window that grows by 0")
            self._sending.window += more
            frames.check_window(self._sending.window)
        else:
            stream = self._streams.open.get(number)
            if stream is None:
                return
            stream.window += more
            if more == 0 or stream.window > frames.MOST:
                self._streams.reset(number, frames.FLOW_CONTROL_ERROR if more else frames.PROTOCOL_ERROR)
                return
        self._streams.pump()

    def _data(self, flags: int, number: int, payload: bytes, last: bool) -> None:
        self._of_stream(number, 0, 0)
        size = len(payload)
        self._received += size
        if self._received > ALL_WINDOW:
            raise Broken(frames.FLOW_CONTROL_ERROR, "more data than the connection's window")
        if self._received >= ALL_WINDOW // 2:
            self._sending.put(frames.window_update(0, self._received))
            self._received = 0
        part = frames.unpadded(flags, payload)
        stream = self._streams.expecting(number)
        if stream is not None:
            self._streams.add(stream, part, size, bool(flags & frames.END_STREAM), last)

    def _headers(self, flags: int, number: int, payload: bytes, last: bool) -> None:
        if not number & 1:
            raise Broken(frames.PROTOCOL_ERROR, "HEADERS on a stream that is no client's")
        block = frames.unpadded(flags, payload) if flags & frames.PADDED else payload
        if flags & frames.WITH_PRIORITY:
            if len(block) < _WITH_PRIORITY:
                raise Broken(frames.FRAME_SIZE_ERROR, "HEADERS too short for its priority")
            if frames.number_of(block) == number:
                raise Broken(frames.PROTOCOL_ERROR, "a stream that depends on itself")
            block = block[_WITH_PRIORITY:]
        end = bool(flags & frames.END_STREAM)
        if not flags & frames.END_HEADERS:
            self._blocks.begin(number, block, end)
        else:
            self._block(number, block, end, last)

    def _block(self, number: int, block: bytes, end: bool, last: bool) -> None:
        streams = self._streams
        try:
            if number > streams.opened:
                streams.opened = number
                streams.begin(number, self._blocks.request(block), end, last)
                return
            stream = streams.open.get(number)
            if (stream is None or stream.ended) and not streams.was_reset(number):
                raise Broken(frames.STREAM_CLOSED, "HEADERS on a stream that has ended")
            self._blocks.check_trailers(block, end)
            if stream is not None:
                streams.finish(stream, last)
        except Malformed:
            streams.reset(number, frames.PROTOCOL_ERROR)


def _of_connection(number: int, size: int, wanted: int) -> None:
    if number:
        raise Broken(frames.PROTOCOL_ERROR, "a frame of the connection on a stream")
    if size != wanted:
        raise Broken(frames.FRAME_SIZE_ERROR, "a frame of a wrong length")

"""One HTTP/2 connection: its frames taken in order, within the limits of memory, time and patience.

What is wrong with one stream resets it. What is wrong with the connection ends it, and GOAWAY says why. So does much of
what costs and asks for nothing: resets, settings, pings, empty frames.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from onnxpress.serving.transports.http2 import frames
from onnxpress.serving.transports.http2.blocks import Blocks
from onnxpress.serving.transports.http2.frames import Broken
from onnxpress.serving.transports.http2.request import Malformed
from onnxpress.serving.transports.http2.sending import Sending
from onnxpress.serving.transports.http2.streams import MOST, WINDOW, Streams
from onnxpress.serving.transports.shared import Shared

_WINDOW: Final = 16 << 20
"""bytes of data that a client may send ahead on all streams"""
_PATIENCE: Final = 10_000
"""of what asks for nothing; half of what was used of it comes back every second, and some with every request"""
_SETTINGS: Final = 10
_SMALL: Final = 2
_WITH_PRIORITY: Final = 5
_LARGE: Final = 4096
"""bytes by which a window grows where that is worth a frame"""


class Http2Connection(asyncio.Protocol):
    """One client. It takes the place of a Connection that has read the preface, among the `open_ones` too."""

    __slots__ = (
        "_blocks", "_draining", "_ended", "_greeted", "_heard", "_on_lost", "_open_ones", "_received", "_rest",
        "_sending", "_shared", "_streams", "transport",
    )  # fmt: skip

    def __init__(
        self, shared: Shared, open_ones: set[Any], on_lost: Callable[[], None], transport: asyncio.Transport
    ) -> None:
        self._shared, self._open_ones, self._on_lost, self.transport = shared, open_ones, on_lost, transport
        self._sending = Sending(transport, shared.held)
        self._streams = Streams(shared, self._sending, open_ones)
        self._blocks = Blocks(shared.limits.max_head, shared.headers_read)
        self._rest = b""  # of a frame that is not complete
        self._received = 0  # bytes of data for which the connection's window is not given back yet
        self._heard = shared.seconds
        self._greeted = self._ended = self._draining = False

    def begin(self, data: bytes) -> None:
        """Say what is taken here, and read what came behind the preface."""
        limits = {
            frames.MAX_CONCURRENT_STREAMS: MOST,
            frames.INITIAL_WINDOW_SIZE: WINDOW,
            frames.MAX_HEADER_LIST_SIZE: self._shared.limits.max_head,
        }
        self._open_ones.add(self)
        self._sending.within = True
        self._sending.put(frames.settings(limits) + frames.window_update(0, _WINDOW - frames.WINDOW))
        self.data_received(data)

    @property
    def busy(self) -> bool:
        """Whether a request is unanswered, or half here."""
        return bool(self._streams.open) or self._blocks.stream > 0

    # --- asyncio.Protocol

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._streams.forget_all()
        self._open_ones.discard(self)
        self._shared.traffic.connections -= 1
        self._on_lost()

    def eof_received(self) -> bool:
        """The client has ended its side: whole requests are answered before this side ends too."""
        if self.transport.get_extra_info("sslcontext") is not None:
            return False
        if not self._ended:
            self._leave_when_done()
        for stream in list(self._streams.open.values()):
            if not stream.ended:
                self._streams.forget(stream)
        return bool(self._streams.open)

    def pause_writing(self) -> None:
        self._sending.full, self._streams.since = True, self._shared.seconds
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self._sending.full, self._streams.since = False, self._shared.seconds
        if not self.transport.is_closing():
            self.transport.resume_reading()
        self._pump()

    def data_received(self, data: bytes) -> None:
        if self._ended:
            return
        if self._rest:
            data = self._rest + data
        sending = self._sending
        sending.within = True
        at, size = 0, len(data)
        try:
            while size - at >= frames.HEAD and not self._ended:
                length = data[at] << 16 | data[at + 1] << 8 | data[at + 2]
                if length > frames.PAYLOAD:
                    raise Broken(frames.FRAME_SIZE_ERROR, "a frame is larger than 16384 bytes")
                start = at + frames.HEAD
                stop = start + length
                if stop > size:
                    break
                self._frame(data[at + 3], data[at + 4], frames.number_of(data, at + 5), data[start:stop], stop == size)
                if self._streams.strain > _PATIENCE:
                    raise Broken(frames.ENHANCE_YOUR_CALM, "too many frames that ask for nothing")
                at = stop
            if at:
                self._heard = self._shared.seconds
        except Broken as broken:
            self._break(broken.code, broken.why)
        except Exception as error:  # no memory, say
            self._break(frames.INTERNAL_ERROR, type(error).__name__)
        self._rest = data[at:] if at < size and not self._ended else b""
        sending.within = False
        sending.flush()

    # --- frames

    def _frame(self, kind: int, flags: int, number: int, payload: bytes, last: bool) -> None:
        """One frame; `last`: nothing more is here."""
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
            self._leave_when_done()
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
        self._pump()

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
        self._pump()

    def _data(self, flags: int, number: int, payload: bytes, last: bool) -> None:
        self._of_stream(number, 0, 0)
        size = len(payload)
        self._received += size
        if self._received > _WINDOW:
            raise Broken(frames.FLOW_CONTROL_ERROR, "more data than the connection's window")
        if self._received >= _WINDOW // 2:
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

    # --- the end

    def _pump(self) -> None:
        for stream in self._sending.pump(self._shared.seconds):
            self._streams.sent(stream)

    def _break(self, code: int, why: str) -> None:
        """Say why, and read no more: what still comes is thrown away for a while, so that the client can read it."""
        if self._ended:
            return
        self._ended, self._streams.since = True, self._shared.seconds
        self._streams.forget_all()
        self._blocks.forget()
        self._sending.put(frames.goaway(self._streams.opened, code, why))
        self._sending.flush()
        if self.transport.can_write_eof() and not self.transport.is_closing():
            self.transport.write_eof()
        else:
            self.transport.close()

    def _leave_when_done(self) -> None:
        self._draining = True
        self._streams.on_empty = self._leave_if_done
        self._leave_if_done()

    def _leave_if_done(self) -> None:
        if not self._streams.open and not self._ended:
            self._say_last()
            self._sending.flush()
            self.transport.close()

    def _say_last(self) -> None:
        if self._streams.last < 0 and not self._ended:
            self._streams.last = self._streams.opened
            self._sending.put(frames.goaway(self._streams.last, frames.NO_ERROR))

    def begin_draining(self) -> None:
        """Tell the client to ask elsewhere; what is on its way is still answered."""
        if not self._ended and not self._draining:
            self._sending.put(frames.goaway(frames.MOST, frames.NO_ERROR))

    def drain(self) -> None:
        """No further requests; close now, or after the last answer owed."""
        self._say_last()
        self._leave_when_done()

    def check_time(self, now: int) -> None:
        """End what waits, sends or reads for longer than the limits allow."""
        limits, streams = self._shared.limits, self._streams
        streams.strain //= 2
        waited = now - streams.since
        if self._ended:
            if waited > limits.linger:
                self.transport.abort()
        elif self._sending.full or self.transport.is_closing():
            if waited > limits.request_timeout:
                self.transport.abort()
        elif (self._rest or self._blocks.stream) and now - self._heard > limits.request_timeout:
            self._break(frames.ENHANCE_YOUR_CALM, "a frame did not arrive in time")
        elif streams.open:
            streams.check_time(now)
        elif waited > limits.idle_timeout:
            self._leave_when_done()


def _of_connection(number: int, size: int, wanted: int) -> None:
    if number:
        raise Broken(frames.PROTOCOL_ERROR, "a frame of the connection on a stream")
    if size != wanted:
        raise Broken(frames.FRAME_SIZE_ERROR, "a frame of a wrong length")

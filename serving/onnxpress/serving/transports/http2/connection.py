"""One HTTP/2 connection, from its preface to its end, within the limits of memory, time and patience.

What is wrong with one stream resets it. What is wrong with the connection ends it, and GOAWAY says why. So does much of
what costs and asks for nothing: resets, settings, pings, empty frames. Little of that is taken in one turn of the loop,
so that others are answered in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from onnxpress.serving.transports.floods import Floods, address_of
from onnxpress.serving.transports.http2 import frames
from onnxpress.serving.transports.http2.blocks import Blocks
from onnxpress.serving.transports.http2.frames import Broken
from onnxpress.serving.transports.http2.receiving import ALL_WINDOW, Receiving
from onnxpress.serving.transports.http2.sending import Sending
from onnxpress.serving.transports.http2.streamed import WINDOW
from onnxpress.serving.transports.http2.streams import MOST, Streams
from onnxpress.serving.transports.shared import Shared

_PATIENCE: Final = 10_000
"""of what asks for nothing; half of what was used of it comes back every second, and some with every request"""
_WARY: Final = _PATIENCE // 2
"""of it is gone at the beginning where floods come from the same address"""
_LEFT: Final = _PATIENCE * 3 // 4
"""who leaves with so much of it used is as one that was cut"""
_TURN: Final = 200
"""of it that may be used in one turn of the loop"""
_UNTAKEN: Final = 8
"""frames that are read in one turn while the client does not take its answers"""


class Http2Connection(asyncio.Protocol):
    """One client. It takes the place of a Connection that has read the preface, among the `open_ones` too."""

    __slots__ = (
        "_blocks", "_draining", "_ended", "_heard", "_on_lost", "_open_ones", "_pinged", "_receiving", "_rest",
        "_sending", "_shared", "_streams", "_suspended", "transport",
    )  # fmt: skip

    def __init__(
        self, shared: Shared, open_ones: set[Any], on_lost: Callable[[], None], transport: asyncio.Transport
    ) -> None:
        self._shared, self._open_ones, self._on_lost, self.transport = shared, open_ones, on_lost, transport
        self._sending = Sending(transport, shared.held)
        self._streams = Streams(shared, self._sending, open_ones)
        self._blocks = Blocks(shared.limits.max_head, shared.headers_read)
        self._rest = b""  # of a frame that is not complete, or all that waits for its turn
        self._receiving = Receiving(self._sending, self._streams, self._blocks, self._leave_when_done)
        self._heard = shared.seconds
        self._pinged = 0
        self._ended = self._draining = self._suspended = False

    def begin(self, data: bytes) -> None:
        """Say what is taken here, and read what came behind the preface."""
        limits = {
            frames.MAX_CONCURRENT_STREAMS: MOST,
            frames.INITIAL_WINDOW_SIZE: WINDOW,
            frames.MAX_HEADER_LIST_SIZE: self._shared.limits.max_head,
        }
        self._open_ones.add(self)
        self._sending.within = True
        self._sending.put(frames.settings(limits) + frames.window_update(0, ALL_WINDOW - frames.WINDOW))
        floods = self._shared.floods
        if floods is not None and floods.addresses:
            self._begin_warily(floods, data)
        else:
            self.data_received(data)

    def _begin_warily(self, floods: Floods, data: bytes) -> None:
        """What is not to blame for floods from its address is read as ever, but later, if they are many."""
        address = address_of(self.transport.get_extra_info("peername"))
        wait = floods.wait(address, asyncio.get_running_loop().time())
        self._sending.within = False
        if wait < 0:
            self._ended = True
            self.transport.abort()
            return
        if address in floods.addresses:
            self._streams.strain = _WARY
        if wait:
            self._rest = data
            self._sending.flush()
            self._suspend(wait)
        else:
            self.data_received(data)

    @property
    def busy(self) -> bool:
        """Whether a request is unanswered, or half here."""
        return bool(self._streams.open) or self._blocks.stream > 0

    # --- asyncio.Protocol

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._ended and self._streams.strain > _LEFT:
            self._count_cut()
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
        self._streams.hear_no_more()
        return bool(self._streams.open)

    def pause_writing(self) -> None:
        self._sending.full, self._streams.since = True, self._shared.seconds
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self._sending.full, self._streams.since = False, self._shared.seconds
        if not self._suspended and not self.transport.is_closing():
            self.transport.resume_reading()
        self._streams.pump()

    def data_received(self, data: bytes) -> None:
        if self._ended:
            return
        if self._rest:
            data = self._rest + data
        if self._suspended:
            self._rest = data
            return
        sending, streams = self._sending, self._streams
        sending.within = True
        at, size, untaken = 0, len(data), 0
        bound = min(streams.strain + _TURN, _PATIENCE)
        try:
            while size - at >= frames.HEAD and not self._ended:
                length = data[at] << 16 | data[at + 1] << 8 | data[at + 2]
                if length > frames.PAYLOAD:
                    raise Broken(frames.FRAME_SIZE_ERROR, "a frame is larger than 16384 bytes")
                start = at + frames.HEAD
                stop = start + length
                if stop > size:
                    break
                self._receiving.take(
                    data[at + 3], data[at + 4], frames.number_of(data, at + 5), data[start:stop], stop == size
                )
                at = stop
                if sending.owes:
                    untaken += 1
                if streams.strain > bound or untaken >= _UNTAKEN:
                    if streams.strain > _PATIENCE:
                        raise Broken(frames.ENHANCE_YOUR_CALM, "too many frames that ask for nothing")
                    if at < size and not self._ended:
                        self._suspend()
                        break
            if at:
                self._heard = self._shared.seconds
        except Broken as broken:
            if broken.code == frames.ENHANCE_YOUR_CALM:
                self._cut(broken.why)
            else:
                self._break(broken.code, broken.why)
        except Exception as error:  # no memory, say
            self._break(frames.INTERNAL_ERROR, type(error).__name__)
        self._rest = data[at:] if at < size and not self._ended else b""
        sending.within = False
        sending.flush()

    def _suspend(self, seconds: float = 0) -> None:
        """Read on in the next turn, or after so many seconds."""
        self._suspended = True
        self.transport.pause_reading()
        loop = asyncio.get_running_loop()
        if seconds:
            loop.call_later(seconds, self._go_on)
        else:
            loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._suspended = False
        self.data_received(b"")
        if not (self._suspended or self._sending.full or self.transport.is_closing()):
            self.transport.resume_reading()

    # --- the end

    def _cut(self, why: str) -> None:
        """End a flood: say why, and read nothing more of it."""
        self._count_cut()
        self._end(frames.ENHANCE_YOUR_CALM, why)
        self.transport.close()

    def _count_cut(self) -> None:
        floods = self._shared.floods
        if floods is None:
            floods = self._shared.floods = Floods()
        floods.cut(address_of(self.transport.get_extra_info("peername")))

    def _break(self, code: int, why: str) -> None:
        """Say why, and read no more: what still comes is thrown away for a while, so that the client can read it."""
        if self._ended:
            return
        self._end(code, why)
        if self.transport.can_write_eof() and not self.transport.is_closing():
            self.transport.write_eof()
        else:
            self.transport.close()

    def _end(self, code: int, why: str) -> None:
        self._ended, self._streams.since = True, self._shared.seconds
        self._streams.forget_all()
        self._blocks.forget()
        self._sending.put(frames.goaway(self._streams.opened, code, why))
        self._sending.flush()

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

    def _probe(self, now: int) -> None:
        """A call that goes on may be silent for long. Ask its client whether it is there, and end where it is not."""
        if self._pinged <= self._heard:
            self._pinged = now
            self._sending.put(frames.frame(frames.PING, 0, 0, bytes(8)))
        elif now - self._pinged > self._shared.limits.request_timeout:
            self.transport.abort()

    def begin_draining(self) -> None:
        """Tell the client to ask elsewhere; what is on its way is still answered."""
        if not self._ended and not self._draining:
            self._sending.put(frames.goaway(frames.MOST, frames.NO_ERROR))

    def drain(self) -> None:
        """No further requests; close now, or after the last answer owed."""
        self._say_last()
        for stream in list(self._streams.open.values()):
            if stream.call is not None:  # it would go on; what it was asked is answered
                stream.call.leave()
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
            for stream in list(streams.open.values()):
                if now - stream.since > limits.request_timeout:
                    stream.give_up(limits.request_timeout)
            if streams.calls and now - self._heard > limits.idle_timeout:
                self._probe(now)
        elif waited > limits.idle_timeout:
            self._leave_when_done()

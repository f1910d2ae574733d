"""What an HTTP/2 connection sends: frames of one turn in one write, and data as far as the windows allow."""

from __future__ import annotations

import asyncio
from typing import Final

from onnxpress.serving.transports.held import HeldBytes
from onnxpress.serving.transports.http2 import frames
from onnxpress.serving.transports.http2.stream import Stream
from onnxpress.serving.transports.request_head import HEAVY

_TOGETHER: Final = 64 << 10
"""bytes that are kept for one write"""


class Sending:
    """One connection's. `window`: bytes of data that the client takes; `initial`: of each stream that begins.

    `full`: the socket takes no more. `within`: more will be put in this turn, and `flush` called.
    """

    __slots__ = ("_blocked", "_due", "_held", "_out", "_size", "full", "initial", "transport", "window", "within")

    def __init__(self, transport: asyncio.Transport, held: HeldBytes) -> None:
        self.transport, self._held = transport, held
        self.window = self.initial = frames.WINDOW
        self.full = self.within = False
        self._due = False
        self._out: list[bytes] = []
        self._size = 0
        self._blocked: list[Stream] = []

    @property
    def owes(self) -> bool:
        """Whether data wait for the client to take them."""
        return bool(self._blocked)

    def put(self, data: bytes, alone: bool = False) -> None:
        """Send it at the end of this turn with what else is put in it, or now if it is `alone`."""
        self._out.append(data)
        self._size += len(data)
        if self.within and self._size < _TOGETHER:
            return
        if alone or self._size >= _TOGETHER:
            self.flush()
        elif not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Send what was put."""
        self._due = False
        out = self._out
        if out:
            self._out, self._size = [], 0
            if not self.transport.is_closing():
                self.transport.write(out[0] if len(out) == 1 else b"".join(out))

    def begin(
        self, stream: Stream, opening: bytes, data: bytes, trailers: bytes, now: int, alone: bool
    ) -> list[Stream]:
        """Send an answer: two header blocks, and the data between them. The streams that are all sent by that."""
        bare = not data and not trailers
        ending = frames.END_HEADERS | (frames.END_STREAM if bare else 0)
        head = frames.frame(frames.HEADERS, ending, stream.id, opening)
        if bare:
            self.put(head, alone)
            return [stream]
        size = len(data)
        if self.takes(stream, size):
            stream.trailers = trailers
            self.put(head + _last(stream, data), alone)
            return [stream]
        self.put(head)
        stream.owed, stream.sent, stream.trailers = data, 0, trailers
        self._blocked.append(stream)
        done = self.pump(now)
        left = size - stream.sent
        if stream not in done and (left >= HEAVY or len(self._blocked) > 1):
            stream.held = left
            self._held.taken += left
        return done

    def takes(self, stream: Stream, size: int) -> bool:
        """Whether so many bytes of data can be sent now in one frame; they count as sent then."""
        if self._blocked or self.full or size > frames.PAYLOAD or size > self.window or size > stream.window:
            return False
        self.window -= size
        stream.window -= size
        return True

    def go_on(self, stream: Stream, data: bytes, now: int) -> list[Stream]:
        """Send data of a stream that owes none, and that may send more. The streams of which all is sent by that."""
        if self.takes(stream, len(data)):
            self.put(frames.frame(frames.DATA, 0, stream.id, data))
            return []
        stream.owed, stream.sent, stream.more = data, 0, True
        stream.since = now
        self._blocked.append(stream)
        return self.pump(now)

    def pump(self, now: int) -> list[Stream]:
        """Send of what is owed as much as the client takes `now`, a frame of each stream in turn; those all sent."""
        done: list[Stream] = []
        going = True
        while going and self._blocked and not self.full:
            going = False
            for stream in list(self._blocked):
                owed = stream.owed
                if owed is None or self.full:
                    continue
                left = len(owed) - stream.sent
                size = min(left, frames.PAYLOAD, self.window, stream.window)
                if size <= 0 and left:
                    continue
                going = True
                part = owed[stream.sent : stream.sent + size]
                self.window -= size
                stream.window -= size
                stream.sent += size
                stream.since = now
                if size == left:
                    self._blocked.remove(stream)
                    stream.owed = None
                    done.append(stream)
                    more = stream.more
                    self.put(frames.frame(frames.DATA, 0, stream.id, part) if more else _last(stream, part))
                else:
                    self.put(frames.frame(frames.DATA, 0, stream.id, part))
        return done

    def forget(self, stream: Stream) -> None:
        """Send no more of it."""
        if stream.owed is not None:
            stream.owed = None
            self._blocked.remove(stream)


def _last(stream: Stream, data: bytes) -> bytes:
    """The last data of a stream, and its trailers where it has some."""
    number, trailers = stream.id, stream.trailers
    if not trailers:
        return frames.frame(frames.DATA, frames.END_STREAM, number, data)
    ending = frames.END_HEADERS | frames.END_STREAM
    return frames.frame(frames.DATA, 0, number, data) + frames.frame(frames.HEADERS, ending, number, trailers)

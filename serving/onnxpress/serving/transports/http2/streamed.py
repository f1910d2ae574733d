"""Calls of gRPC with several messages on one stream: each asked by itself, and answered in the order of their coming.

An error of one message is said inside an answer where the call has a place for that. Any other ends the call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final

from onnxpress.serving import log
from onnxpress.serving.exchange import CLIENT_GONE, GRPC, Headers, fail
from onnxpress.serving.protocol.refusal import Refusal, error_body
from onnxpress.serving.protocol.stream_messages import error_of
from onnxpress.serving.protocol.timeouts import grpc_timeout_of
from onnxpress.serving.routes import call_paths
from onnxpress.serving.transports.http2 import frames, grpc
from onnxpress.serving.transports.http2.request import WATCHED
from onnxpress.serving.transports.http2.sending import Sending
from onnxpress.serving.transports.http2.stream import Stream, append
from onnxpress.serving.transports.shared import Shared

MOST: Final = 64
"""messages of one call that are read and whose answers are not sent; no more of it is read meanwhile"""
WINDOW: Final = 1 << 20
"""bytes of data that a client may send ahead on one stream"""
_LONGEST: Final = 86_400.0
"""seconds of a deadline that is kept"""
_ENDING: Final = frozenset({401, 403, 413, 415, 501})
"""what is wrong with the call, not with one message of it"""
_NO_ROOM: Final = b'{"error":"other requests hold too much already; try again"}'
_LEAVING: Final = b'{"error":"the server is on its way out; ask again"}'


class Message:
    """One message of a call, which is the exchange that its answer goes to. `asked` and `packed`: its bytes, and how.

    `answer` is what is to be sent, once it is known.
    """

    __slots__ = ("_call", "answer", "asked", "held", "packed")

    def __init__(self, call: StreamedCall, asked: bytes, packed: bytes) -> None:
        self._call, self.asked, self.packed = call, asked, packed
        self.held = 0
        self.answer: bytes | None = None

    @property
    def gone(self) -> bool:
        """See Exchange."""
        return self._call.gone

    def hold(self, size: int) -> bool:
        """See Exchange."""
        if not self._call.held.take(size):
            return False
        self.held += size
        return True

    def respond(self, status: int, body: bytes, headers: Headers = ()) -> None:
        """See Exchange. What is watched answers more than once."""
        self._call.held.give_back(self.held)
        self.held = 0
        try:
            self._call.answered(self, status, body, headers)
        except Exception as error:  # no memory to write it with: its client is told by the end of the connection
            log.say(f"an answer could not be written: {type(error).__name__}")
            self._call.abort()


class Come:
    """What has come of a call's messages: `next` makes one of it, as long as none is larger than `most` bytes.

    `message` and `packed` are that one then; `size` is that of the one that is not whole.
    """

    __slots__ = ("_at", "_behind", "_data", "_most", "_need", "_parts", "message", "packed", "size")

    def __init__(self, most: int) -> None:
        self._most = most
        self._data, self._at = b"", 0
        self._parts: list[bytes] = []  # behind the data
        self._behind = 0
        self._need = grpc.PREFIX  # bytes without which nothing can be done
        self.message, self.packed, self.size = b"", 0, 0

    @property
    def left(self) -> int:
        """Bytes that are not read."""
        return len(self._data) - self._at + self._behind

    def add(self, part: bytes) -> None:
        """More of it."""
        if part:
            append(self._parts, part)
            self._behind += len(part)

    def next(self) -> bool:
        """Whether there was a whole message."""
        while self.left >= self._need and self.size <= self._most:
            if len(self._data) - self._at < self._need:
                self._data, self._at = b"".join([self._data[self._at :], *self._parts]), 0
                self._parts, self._behind = [], 0
            data, start = self._data, self._at + grpc.PREFIX
            self.size = int.from_bytes(data[self._at + 1 : start], "big")
            self._need = grpc.PREFIX + self.size
            stop = self._at + self._need
            if stop <= len(data) and self.size <= self._most:
                self.packed, self.message = data[self._at], data[start:stop]
                self._at, self._need, self.size = stop, grpc.PREFIX, 0
                if stop == len(data):
                    self._data, self._at = b"", 0
                return True
        return False

    def clear(self) -> None:
        """Forget all of it."""
        self._data, self._parts, self._at, self._behind = b"", [], 0, 0


class StreamedCall:
    """One call. `on_sent` is called with every stream of which all is sent, with this one once it has ended."""

    __slots__ = (
        "_come", "_counted", "_deaf", "_expiry", "_going", "_headers", "_in_stream", "_leaving", "_messages", "_most",
        "_on_sent", "_opened", "_paused", "_ready", "_sending", "_shared", "_stream", "_until", "_watched", "held",
        "over",
    )  # fmt: skip

    def __init__(self, stream: Stream, shared: Shared, sending: Sending, on_sent: Callable[[Stream], None]) -> None:
        request = stream.request
        self._stream, self._shared, self._sending, self._on_sent = stream, shared, sending, on_sent
        self.held = shared.held
        self.over = False
        """its end is on the way, or nobody waits for it"""
        self._watched = request.kind == WATCHED
        self._in_stream = request.path == call_paths.INFER_STREAM
        self._most = shared.limits.max_body
        self._headers = dict(request.headers or {})
        self._come = Come(self._most)
        self._messages: list[Message] = []  # not answered yet, or behind one that is not
        self._ready: list[bytes] = []  # answers to be sent
        self._counted = 0  # bytes of all that, as they count among those held
        self._opened = self._going = self._leaving = self._deaf = False
        self._paused = False  # too many are not answered
        self._until = 0.0
        self._expiry: asyncio.TimerHandle | None = None
        timeout = self._headers.pop(b"grpc-timeout", None)
        if timeout is not None:
            self._limit(timeout)

    def _limit(self, timeout: bytes) -> None:
        try:
            seconds = min(grpc_timeout_of(timeout), _LONGEST)
        except Refusal as refusal:
            self.fail(refusal.status, refusal.body())
            return
        self._until = monotonic() + seconds
        over = error_body("the call's deadline is over")
        self._expiry = asyncio.get_running_loop().call_later(seconds, self.fail, 504, over)

    @property
    def gone(self) -> bool:
        """Whether nobody waits for answers any more."""
        return self.over or self._stream.lost or self._sending.transport.is_closing()

    @property
    def halfway(self) -> bool:
        """Whether a message has come in part."""
        return not self._paused and self._come.left > 0

    def abort(self) -> None:
        """End the connection."""
        self._sending.transport.abort()

    # --- what comes

    def add(self, part: bytes) -> None:
        """More of its messages, which the stream has counted as received."""
        if not self._come.left and self._stream.owed is None:  # else the time of what has begun goes on
            self._stream.since = self._shared.seconds
        self._come.add(part)
        self.go_on()

    def go_on(self) -> None:
        """Take what has come, send what is answered, and end where all of it is done."""
        if self._going or self.over:
            return
        self._going = True
        try:
            while not self.over:
                self._read()
                self._send()
                if not self._paused or len(self._messages) + len(self._ready) > MOST // 2:
                    break
                self._paused = False
                self._stream.since = self._shared.seconds  # what is here in part could not go on until now
        finally:
            self._going = False
        if self.over:
            return
        self._count()
        stream = self._stream
        if self.over or self._messages or self._ready or stream.owed is not None:
            return
        if self._leaving and (self._watched or not stream.ended):
            self._end(grpc.ending(503, _LEAVING, ()))
        elif stream.ended and self._come.left:
            self.fail(400, error_body("the call ends within a message"))
        elif stream.ended and self._watched:
            self.fail(400, error_body("the call must have one message"))
        elif stream.ended:
            self._end(grpc.GOOD)

    def _read(self) -> None:
        """Ask what has come whole."""
        come = self._come
        while not self.over:
            if len(self._messages) + len(self._ready) >= MOST:
                self._paused = True
            if self._paused:
                break
            if not come.next():
                if come.size > self._most:
                    self.fail(413, error_body(f"a message is larger than {self._most} bytes"))
                    return
                break
            self._ask(come.packed, come.message)
        stream = self._stream
        if not self._paused and stream.received >= WINDOW // 2 and not stream.ended and not self.over:
            self._sending.put(frames.window_update(stream.id, stream.received))
            stream.received = 0

    def _ask(self, packed: int, body: bytes) -> None:
        """One message."""
        shared, encoding, headers = self._shared, b"", self._headers
        if self._watched and (self._messages or self._opened):
            self.fail(400, error_body("the call must have one message"))
            return
        if packed:
            encoding = self._stream.request.encoding
            if packed != 1 or encoding in (b"", b"identity"):
                self.fail(400, error_body("a message is said to be packed, and the call has no grpc-encoding"))
                return
            headers = {**headers, b"content-encoding": encoding}
        if self._until:
            left = max(0, int((self._until - monotonic()) * 1e3))
            headers = {**headers, b"grpc-timeout": b"%dm" % min(left, 99_999_999)}
        message = Message(self, body, encoding)
        self._messages.append(message)
        if self._stream.owed is None:
            self._stream.since = shared.seconds
        if not message.hold(len(body)):
            message.respond(503, _NO_ROOM)
            return
        try:
            path = self._stream.request.path
            if headers:
                shared.handler.submit_with(headers, GRPC, path, body, message)
            else:
                shared.handler.submit(GRPC, path, body, message, False)
        except Exception as error:
            if message.answer is None:
                fail(message, error, "a request")

    # --- what goes

    def answered(self, message: Message, status: int, body: bytes, headers: Headers) -> None:
        """A message has its answer."""
        if status != 200:
            self._shared.traffic.errors[status] += 1
        if self.gone:
            return
        if status == 200:
            data = grpc.framed(body, headers)
        elif self._in_stream and status not in _ENDING:
            said = error_of(message.asked, message.packed, grpc.reason(body, headers))
            data = grpc.framed(said, ())
        else:
            self.fail(status, body, headers, counted=True)
            return
        if self._watched:
            # Only the newest is of use to a client that does not read.
            self._ready = [data]
        else:
            message.answer, message.asked = data, b""
            while self._messages:
                answer = self._messages[0].answer
                if answer is None:
                    break
                self._ready.append(answer)
                del self._messages[0]
        self.go_on()

    def _send(self) -> None:
        """Send answers as far as the client takes them."""
        stream, sending = self._stream, self._sending
        if self._ready and not self._opened:
            self._opened = True
            packed = b"gzip" in self._headers.get(b"accept-encoding", b"")
            opening = grpc.PACKED_OPENING if packed else grpc.OPENING
            sending.put(frames.frame(frames.HEADERS, frames.END_HEADERS, stream.id, opening))
        while self._ready and stream.owed is None and not self.over:
            for one in sending.go_on(stream, self._ready.pop(0), self._shared.seconds):
                if one is not stream:
                    self._on_sent(one)
        if self._deaf and stream.owed is not None and not sending.full:
            self.fail(CLIENT_GONE, b"")

    def _count(self) -> None:
        """Hold what waits here against the limit of all; where that is in the way, this call ends."""
        size = self._come.left
        if self._ready or self._messages or self._stream.owed is not None:
            for answer in self._ready:
                size += len(answer)
            for message in self._messages:
                if message.answer is not None:
                    size += len(message.answer)
            if self._stream.owed is not None:
                size += len(self._stream.owed)
        held = self.held
        more = size - self._counted
        held.taken += more
        self._counted = size
        if more > 0 and held.taken > held.limit:
            self.fail(503, _NO_ROOM)

    # --- the end

    def fail(self, status: int, body: bytes, headers: Headers = (), counted: bool = False) -> None:
        """End the call with an error; what of it is not answered is not wanted any more."""
        if self.over:
            return
        if not counted:
            self._shared.traffic.errors[status] += 1
        self._end(grpc.ending(status, body, headers))

    def _end(self, trailers: bytes) -> None:
        stream = self._stream
        self.forget()
        self._sending.forget(stream)
        stream.answered, stream.more = True, False
        ending = frames.END_HEADERS | frames.END_STREAM
        block = trailers if self._opened else grpc.OPENING + trailers
        self._sending.put(frames.frame(frames.HEADERS, ending, stream.id, block))
        self._on_sent(stream)

    def hear_no_more(self) -> None:
        """The client has ended its side: what does not fit into its windows is for nobody, nor what may come to be."""
        self._deaf = True
        if self._watched:
            self.fail(CLIENT_GONE, b"")

    def leave(self) -> None:
        """The server is on its way out: what has been asked is answered, and then the call ends."""
        self._leaving = True
        if self._watched:
            self._messages.clear()
        self.go_on()

    def forget(self) -> None:
        """Nobody waits for it any more."""
        self.over = True
        self.held.give_back(self._counted)
        self._counted = 0
        self._come.clear()
        self._ready, self._messages = [], []
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

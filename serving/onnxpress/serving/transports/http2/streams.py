"""The requests of one HTTP/2 connection: opened, handed over when they are whole, answered in whatever order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from onnxpress.serving import log
from onnxpress.serving.exchange import Headers, fail, no_room
from onnxpress.serving.protocol.refusal import Refusal, error_body
from onnxpress.serving.routes import call_paths
from onnxpress.serving.transports.http2 import frames, grpc
from onnxpress.serving.transports.http2.blocks import UNREAD, Openings
from onnxpress.serving.transports.http2.request import STREAM, UNKNOWN, WATCHED, Request
from onnxpress.serving.transports.http2.sending import Sending
from onnxpress.serving.transports.http2.stream import Stream, append
from onnxpress.serving.transports.http2.streamed import WINDOW, StreamedCall
from onnxpress.serving.transports.request_head import HEAVY, too_large
from onnxpress.serving.transports.shared import Shared

MOST: Final = 128
"""that a client may have open at a time"""
_WATCHES: Final = 32
"""of them that may wait for news: they keep a place for as long as their client likes, and show no token"""
_RECENT: Final = 1000
_FULL: Final = 431
_AT_ONCE: Final = 8192
"""bytes of a body in one frame that no limit is in the way of: --max-body is more"""

# What a client may do that asks for nothing is counted, and what a request gives back of it.
_RESET: Final = 10
_REQUEST: Final = 4
_SMALL: Final = 2


class RequestStream(Stream):
    """The exchange that is answered to. `call`: where it has several messages, each of which is one of its own."""

    __slots__ = ("_streams", "call")

    def __init__(self, streams: Streams, number: int, request: Request, window: int, since: int) -> None:
        super().__init__(number, request, window, since)
        self._streams = streams
        self.call: StreamedCall | None = None

    @property
    def gone(self) -> bool:
        """See Exchange."""
        return self.lost or self._streams.transport.is_closing()

    def hold(self, size: int) -> bool:
        """See Exchange."""
        if not self._streams.held.take(size):
            return False
        self.held += size
        return True

    def respond(self, status: int, body: bytes, headers: Headers = ()) -> None:
        """See Exchange."""
        try:
            self._streams.answer(self, status, body, headers)
        except Exception as error:  # no memory to write it with: its client is told by the end of the connection
            log.say(f"an answer could not be written: {type(error).__name__}")
            self._streams.transport.abort()

    def hear_no_more(self) -> None:
        """Its client has ended its side."""
        if not self.ended:
            self._streams.forget(self)
        elif self.call is not None:
            self.call.hear_no_more()

    def give_up(self, seconds: int) -> None:
        """It was sent, or read, for longer than that."""
        if self.owed is not None:
            self._streams.reset(self.id, frames.CANCEL)
        elif self.call is not None:
            if self.call.halfway:
                self.call.fail(408, error_body(f"a message did not arrive within {seconds} seconds"))
        elif not self.ended:
            _refuse(self, 408, f"the request did not arrive within {seconds} seconds")


class Streams:
    """One connection's. `opened`: the highest number so far. `strain`: what its client did that asks for nothing.

    `last`: the highest that is answered, once the client was told so; -1 before. `since`: the second in which a request
    or an answer came last. `calls`: how many of those that are open have several messages.
    """

    __slots__ = (
        "_deaf", "_open_ones", "_openings", "_reset", "_sending", "_shared", "calls", "held", "last", "on_empty",
        "open", "opened", "since", "strain", "transport",
    )  # fmt: skip

    def __init__(self, shared: Shared, sending: Sending, open_ones: set[Any]) -> None:
        self._shared, self._sending, self._open_ones = shared, sending, open_ones
        self.held, self.transport = shared.held, sending.transport
        self.open: dict[int, RequestStream] = {}
        self.opened, self.last, self.strain, self.calls = 0, -1, 0, 0
        self.since = shared.seconds
        self.on_empty: Callable[[], None] | None = None
        """called when none is open any more, once the connection is to end then"""
        self._reset: set[int] = set()  # by this side, so that frames may still come for it
        self._openings, self._deaf = Openings(), False

    def begin(self, number: int, request: Request, end: bool, alone: bool) -> None:
        """A request, with all of it where this is its `end`. `alone`: nothing more of the connection is here."""
        shared = self._shared
        if self.last >= 0:
            self._reset.add(number)  # the client knows
            return
        if len(self.open) >= MOST:
            self.reset(number, frames.REFUSED_STREAM)
            return
        self.since = shared.seconds
        stream = RequestStream(self, number, request, self._sending.initial, shared.seconds)
        self.open[number] = stream
        stream.ended = end
        if request is UNREAD:
            _refuse(stream, _FULL, f"the request's head is larger than {shared.limits.max_head} bytes")
        elif request.length > _most(stream, self._shared):
            _refuse(stream, *too_large(shared.limits.max_body))
        elif request.kind >= STREAM:
            self._begin_call(stream)
        elif end:
            self.finish(stream, alone)

    def _begin_call(self, stream: RequestStream) -> None:
        """One that has several messages, or that nobody knows."""
        if stream.request.kind == UNKNOWN:
            # It may be one that waits for an answer before its client ends.
            _refuse(stream, 501, call_paths.unknown(stream.request.path))
            return
        if stream.request.kind == WATCHED and _watching(self.open) >= _WATCHES:
            reason = f"{_WATCHES} calls of this connection watch already; end one of them"
            _refuse(stream, 429, reason)
            return
        call = StreamedCall(stream, self._shared, self._sending, self.sent)
        if not call.over:
            stream.call = call
            self.calls += 1
            if stream.ended:
                call.go_on()

    def expecting(self, number: int) -> RequestStream | None:
        """The stream of this number if more may come on it. None, and it is reset, where that is a fault."""
        stream = self.open.get(number)
        if stream is None or stream.ended:
            if number not in self._reset:
                self.reset(number, frames.STREAM_CLOSED)
            return None
        return stream

    def was_reset(self, number: int) -> bool:
        """Whether this side ended it, which its client may not have known."""
        return number in self._reset

    def add(self, stream: RequestStream, part: bytes, size: int, end: bool, alone: bool) -> None:
        """More of a body, in a frame of `size`."""
        if not part and not end:
            self.strain += _SMALL
        stream.received += size
        if stream.received > WINDOW:
            self.reset(stream.id, frames.FLOW_CONTROL_ERROR)
            return
        if stream.answered:  # it was refused, and its client has not read that yet
            stream.ended = end
            return
        if stream.call is not None:
            stream.ended = end
            self.since = self._shared.seconds
            stream.call.add(part)
            return
        stream.size += len(part)
        if end and stream.size == len(part) <= _AT_ONCE:  # nearly all that come
            self.finish(stream, alone, part)
            return
        append(stream.parts, part)
        if stream.size > _most(stream, self._shared):
            _refuse(stream, *too_large(self._shared.limits.max_body))
        elif _weighs(stream, end, len(self.open)) and not stream.hold(stream.size - stream.held):
            no_room(stream)
        elif end:
            self.finish(stream, alone)
        elif stream.received >= WINDOW // 2:
            self._sending.put(frames.window_update(stream.id, stream.received))
            stream.received = 0

    def finish(self, stream: RequestStream, alone: bool, whole: bytes | None = None) -> None:
        """The client has sent all of it, `whole` or in parts: hand it over."""
        stream.ended = True
        if stream.call is not None:
            stream.call.go_on()
            return
        if stream.answered:  # it was refused
            return
        request, shared = stream.request, self._shared
        body = whole
        if body is None:
            parts, stream.parts = stream.parts, []
            body = parts[0] if len(parts) == 1 else b"".join(parts)
        if request.length not in (-1, len(body)):
            self.reset(stream.id, frames.PROTOCOL_ERROR)
            return
        self.since = stream.since = shared.seconds
        self.strain = self.strain - _REQUEST if self.strain > _REQUEST else 0
        headers = request.headers
        try:
            if request.grpc:
                body, encoding = grpc.message(body, request.encoding)
                if encoding:
                    headers = {**(headers or {}), b"content-encoding": encoding}
            if headers is None:
                # With one client connected, and nothing more of it here, no request can come to share a run.
                alone = alone and len(self.open) == 1 and len(self._open_ones) == 1
                shared.handler.submit(request.method, request.path, body, stream, alone)
            else:
                shared.handler.submit_with(headers, request.method, request.path, body, stream)
        except Refusal as refusal:
            if not stream.answered:
                stream.respond(refusal.status, refusal.body(), refusal.headers)
        except Exception as error:
            # The one place for all that nobody expected of a request, whoever reads or answers it.
            if not stream.answered:
                fail(stream, error, "a request")

    def answer(self, stream: RequestStream, status: int, body: bytes, headers: Headers) -> None:
        """Send the answer of a stream, or drop it where nobody waits for it."""
        shared = self._shared
        if stream.held:
            self.held.give_back(stream.held)
            stream.held = 0
        if stream.answered:
            return
        stream.answered, stream.parts = True, []
        if status != 200:
            shared.traffic.errors[status] += 1
        if stream.lost:
            return
        now = shared.seconds
        self.since = stream.since = now
        sending, alone, trailers = self._sending, len(self.open) == 1, b""
        if stream.request.grpc:
            if status == 200 and not headers and sending.takes(stream, grpc.PREFIX + len(body)):
                sending.put(grpc.frames_of(stream.id, body), alone)
                if stream.ended and self.on_empty is None:
                    self.open.pop(stream.id, None)
                    stream.lost = True
                else:
                    self.sent(stream)
                return
            opening, body, trailers = grpc.answered(status, body, headers)
        else:
            opening = self._openings.block(status, len(body), headers, shared.date)
            if stream.request.method == b"HEAD":
                body = b""
        for one in sending.begin(stream, opening, body, trailers, now, alone):
            self.sent(one)
        self._give_up()
        if not stream.lost and self.held.taken > self.held.limit:  # others need the room, and this one does not read
            self.reset(stream.id, frames.ENHANCE_YOUR_CALM)

    def sent(self, stream: Stream) -> None:
        """All of its answer is on its way, or of what there is of one that goes on."""
        if stream.more:
            found = self.open.get(stream.id)
            if found is not None and found.call is not None:
                found.call.go_on()
        elif stream.ended:
            self.forget(stream)
        else:
            self.reset(stream.id, frames.NO_ERROR)  # the rest of the request is not wanted

    def pump(self) -> None:
        """Send what the client takes now."""
        for stream in self._sending.pump(self._shared.seconds):
            self.sent(stream)
        self._give_up()

    def _give_up(self) -> None:
        """Drop the answers that wait for a window which does not grow any more."""
        if self._deaf and self._sending.owes and not self._sending.full:
            for stream in list(self.open.values()):
                if stream.owed is not None:
                    self.forget(stream)

    def forget(self, stream: Stream) -> None:
        """It has ended, one way or another."""
        found = self.open.pop(stream.id, None)
        self._sending.forget(stream)
        stream.lost, stream.parts = True, []
        if found is not None and found.call is not None:
            self.calls -= 1
            found.call.forget()
            found.call = None
        if stream.held and (stream.answered or not stream.ended):  # else it is with the handler, which answers
            self.held.give_back(stream.held)
            stream.held = 0
        if self.on_empty is not None and not self.open:
            self.on_empty()

    def forget_all(self) -> None:
        """The connection has ended."""
        for stream in list(self.open.values()):
            self.forget(stream)

    def hear_no_more(self) -> None:
        """The client has ended its side: no window grows any more, so what does not fit into one is for nobody."""
        self._deaf = True
        for stream in list(self.open.values()):
            stream.hear_no_more()
        self._give_up()

    def cancel(self, number: int) -> None:
        """Its client has reset it."""
        self.strain += _RESET
        stream = self.open.get(number)
        if stream is not None:
            self.forget(stream)

    def reset(self, number: int, code: int) -> None:
        """End a stream from this side."""
        stream = self.open.get(number)
        if stream is not None:
            self.forget(stream)
        if code != frames.NO_ERROR:
            self.strain += _RESET
        if len(self._reset) >= _RECENT:
            self._reset.clear()
        self._reset.add(number)
        self._sending.put(frames.rst_stream(number, code))


def _watching(streams: dict[int, RequestStream]) -> int:
    return len([one for one in streams.values() if one.call is not None and one.request.kind == WATCHED])


def _weighs(stream: RequestStream, end: bool, together: int) -> bool:
    """Whether what has come of a body counts: where it is much, or is one of several that wait for their rest.

    So a connection holds no more uncounted than one of HTTP/1.1 does, with however many streams.
    """
    return stream.size >= HEAVY or (not end and together > 1)


def _most(stream: RequestStream, shared: Shared) -> int:
    return shared.limits.max_body + (grpc.PREFIX if stream.request.grpc else 0)


def _refuse(stream: RequestStream, status: int, reason: str) -> None:
    stream.respond(status, error_body(reason))

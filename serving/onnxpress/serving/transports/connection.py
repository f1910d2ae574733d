"""One HTTP/1.1 connection: what it was asked is answered in order, within the limits of memory and time.

Its `RequestParser` makes requests of the bytes that come. The connection hands each to the handler, keeps the answers
in the order of the requests, and keeps the client waiting while answers pile up, here or in the socket. Who waits,
sends or reads for too long is cut off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from onnxpress.serving import log
from onnxpress.serving.exchange import Headers, fail, no_room
from onnxpress.serving.protocol.refusal import error_body
from onnxpress.serving.transports.request_head import HEAVY, UNREADABLE, Head
from onnxpress.serving.transports.request_parser import RequestParser
from onnxpress.serving.transports.response import CONTINUE, response
from onnxpress.serving.transports.shared import Shared

_PIPELINED = 64
"""answers owed on one connection before reading from it pauses"""
_PROBED = (2, 3)
"""seconds after the end of what a client sends when it is looked whether it is still there for the answer owed"""
_AHEAD = 1 << 20
"""bytes of answers that a connection may be ahead of its client, where answers are as large as the last large one"""


class PendingAnswer:
    """One request's place in its connection's order of answers; the exchange that is answered to."""

    __slots__ = ("answer", "connection", "head", "held")

    def __init__(self, connection: Connection, head: Head) -> None:
        self.connection, self.head = connection, head
        self.held = head.weight
        """bytes that count against max_held: of its body, and then of its answer until that is written"""
        self.answer: bytes | None = None
        """as it is to be written, once it is known"""

    @property
    def gone(self) -> bool:
        """Whether the connection is lost."""
        return self.connection.transport.is_closing()

    def hold(self, size: int) -> bool:
        """See Exchange."""
        if not self.connection.may_hold(size):
            return False
        self.held += size
        return True

    def respond(self, status: int, body: bytes, headers: Headers = ()) -> None:
        """See Exchange."""
        try:
            self.connection.answer(self, status, body, headers)
        except Exception as error:  # no memory to write it with: its client is told by the end of the connection
            log.say(f"an answer could not be written: {type(error).__name__}")
            self.connection.transport.abort()


class Connection(asyncio.Protocol):
    """One client.

    `open_ones`: the connections that are open, this one among them once it is made. `on_lost` is called once it is not.
    `flowing`: nothing is out of the ordinary: not paused, not draining, not closing. `since`: the second in which it
    last began to wait for something.
    """

    __slots__ = (
        "_at_end", "_draining", "_flowing", "_later", "_lingering", "_on_lost", "_open_ones", "_owed", "_parser",
        "_pipeline_full", "_shared", "_since", "_suspended", "_unsent", "_write_full", "transport",
    )  # fmt: skip

    def __init__(self, shared: Shared, open_ones: set[Any], on_lost: Callable[[], None]) -> None:
        self._shared, self._open_ones, self._on_lost = shared, open_ones, on_lost
        self._parser = RequestParser(shared.limits, shared.held, shared.heads, shared.headers_read)
        self.transport: asyncio.Transport = None  # type: ignore[assignment]
        self._owed: list[PendingAnswer] = []  # not a deque: a list is what mypyc knows, and this one is short
        self._flowing = True
        self._draining = False
        self._at_end = False  # the client sends nothing more, and may still read
        self._lingering = False  # the refusal is sent, and the client gets time to read it
        self._pipeline_full = self._write_full = False  # reasons for not reading
        self._suspended = False  # requests that have come wait in the parser until answers are taken
        self._later: list[bytes] = []  # what came meanwhile
        self._unsent = 0  # bytes of answers in the socket's buffer, as far as they count against max_held
        self._since = shared.seconds

    @property
    def busy(self) -> bool:
        """Whether a request is unanswered, or half here."""
        return bool(self._owed) or self._parser.within

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self._open_ones.add(self)
        self._shared.traffic.connections += 1
        tls = transport.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() == "h2":
            self._parser.agreed = True
        if len(self._open_ones) > self._shared.limits.max_connections:
            self._refuse(503, "too many connections")
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._flowing = False
        self._parser.stop()
        self._later.clear()
        self._count_unsent(0)
        # Answers that are still to come find no order to stand in, and are dropped; see `answer`.
        for pending in self._owed:
            if pending.answer is not None:
                self._give_back(pending)
        self._owed.clear()
        self._open_ones.discard(self)
        self._shared.traffic.connections -= 1
        self._on_lost()

    def data_received(self, data: bytes) -> None:
        parser = self._parser
        if parser.done:
            return
        if self._suspended:
            self._later.append(data)
            return
        if not parser.within:
            self._since = self._shared.seconds
        self._take(parser.receive(data))

    def _take(self, head: Head | None) -> None:
        """Hand over this request and those behind it, as long as the client takes its answers."""
        parser = self._parser
        while head is not None:
            # With one client connected, and nothing more of it here, no request can come to share a run.
            self._request(head, parser.take_body(), parser.empty and len(self._open_ones) == 1)
            if (self._write_full or self._pipeline_full) and not parser.empty:
                self._suspended = True
                return
            head = parser.next()
        if parser.refusal is not None:
            status, reason = parser.refusal
            self._refuse(status, reason)
        elif parser.waits_for_continue:
            parser.waits_for_continue = False
            if not self._owed:  # else it would be taken for the answer to an earlier request
                self.transport.write(CONTINUE)
        elif parser.http2 is not None:
            self._become_http2(parser.http2)

    def _become_http2(self, data: bytes) -> None:
        """Leave the connection to what speaks HTTP/2; `data` came behind its preface."""
        from onnxpress.serving.transports.http2.connection import Http2Connection  # the first one pays for it

        self._open_ones.discard(self)
        other = Http2Connection(self._shared, self._open_ones, self._on_lost, self.transport)
        self.transport.set_protocol(other)
        other.begin(data)

    def eof_received(self) -> bool:
        """The client has ended its side. Whole requests are answered before this side ends too."""
        self._at_end, self._flowing, self._since = True, False, self._shared.seconds
        if self.transport.get_extra_info("sslcontext") is not None:  # TLS knows no half of a connection
            return False
        if not self._suspended:
            self._parser.stop()
        return bool(self._owed) or self._suspended

    def pause_writing(self) -> None:
        self._write_full, self._since = True, self._shared.seconds
        self._count_unsent(self.transport.get_write_buffer_size())
        self._balance()

    def resume_writing(self) -> None:
        self._write_full = False
        self._count_unsent(0)
        self._balance()

    # --- order

    def _request(self, head: Head, body: bytes, alone: bool) -> None:
        shared = self._shared
        pending = PendingAnswer(self, head)
        self._owed.append(pending)
        self._since = shared.seconds
        if not head.keep_alive or self._draining:
            self._parser.stop()
            self._flowing = False
        if len(self._owed) >= self._window():
            self._pipeline_full = True
            self._balance()
        # Of a body that came while it was counted there is room; one that came at once is counted from here on.
        if head.weight and not shared.held.take(head.weight):
            pending.held = 0
            no_room(pending)
            return
        try:
            if head.headers is None:
                shared.handler.submit(head.method, head.target, body, pending, alone)
            else:
                shared.handler.submit_with(head.headers, head.method, head.target, body, pending)
        except Exception as error:
            # The one place for all that nobody expected of a request, whoever reads or answers it.
            if pending.answer is None and pending in self._owed:
                fail(pending, error, "a request")

    def _window(self) -> int:
        """How many answers may be owed before the client has to wait."""
        large = self._shared.answer_bytes
        return min(_PIPELINED, max(1, _AHEAD // large)) if large else _PIPELINED

    def may_hold(self, size: int) -> bool:
        """Take so many bytes more of what all may hold; False where there is no room."""
        return self._shared.held.take(size)

    def answer(self, pending: PendingAnswer, status: int, body: bytes, headers: Headers) -> None:
        """Write the answer now if it is this request's turn, else keep it until it is."""
        head, owed, shared = pending.head, self._owed, self._shared
        if status == 200 and len(owed) == 1 and self._flowing and head.plain and not pending.held and not headers:
            # The one answer owed is this one: what is no longer owed is of a connection that flows no more.
            text = shared.ok_json % (len(body), body)
            owed.pop()
            self._since = shared.seconds
            if len(body) >= HEAVY:
                shared.answer_bytes = len(body)
            self.transport.write(text)
            return
        self._give_back(pending)
        if len(body) >= HEAVY:
            shared.answer_bytes = len(body)
        if status == 200 and head.plain and not headers and not self._draining:
            pending.answer = shared.ok_json % (len(body), body)
        else:
            if status != 200:
                shared.traffic.errors[status] += 1
            last = not head.keep_alive or (self._draining and bool(owed) and owed[-1] is pending)
            pending.answer = response(
                status, body, headers, date=shared.date, bodiless=head.method == b"HEAD", last=last, old=head.old
            )
        if owed and owed[0] is pending:
            self._flush()
        elif len(pending.answer) >= HEAVY and pending in owed:
            pending.held = len(pending.answer)
            shared.held.taken += pending.held

    def _give_back(self, pending: PendingAnswer) -> None:
        if pending.held:
            self._shared.held.give_back(pending.held)
            pending.held = 0

    def _count_unsent(self, size: int) -> None:
        """So many bytes of answers wait for the client to take them."""
        held = self._shared.held
        held.taken += size - self._unsent
        self._unsent = size
        if size and held.taken > held.limit:  # others need the room, and this one does not read
            self.transport.abort()

    def _flush(self) -> None:
        """Send every answer whose turn has come; the last one of a connection closes it."""
        owed = self._owed
        while owed and owed[0].answer is not None:
            pending = owed.pop(0)
            assert pending.answer is not None
            self._since = self._shared.seconds
            self._give_back(pending)
            self.transport.write(pending.answer)
            if self._write_full:
                self._count_unsent(self.transport.get_write_buffer_size())
            if pending.head is UNREADABLE:
                # Closing at once, with bytes of the request unread, would reset the connection before the client has
                # read why. So only this side is ended, and what still comes is thrown away for a while.
                self._lingering = True
                if self.transport.can_write_eof():
                    self.transport.write_eof()
                return
            if not pending.head.keep_alive:
                self.transport.close()
                return
        if self._pipeline_full and len(owed) < max(1, self._window() // 2):
            self._pipeline_full = False
            self._balance()
        if (self._draining or self._at_end) and not self.busy and not self._suspended:
            self.transport.close()

    def _refuse(self, status: int, reason: str) -> None:
        """Answer what cannot be read to its end, behind the answers already owed, and close: the framing is lost."""
        self._flowing = False
        self._parser.stop()
        pending = PendingAnswer(self, UNREADABLE)
        self._owed.append(pending)
        pending.respond(status, error_body(reason))

    # --- time and pressure

    def check_time(self, now: int) -> None:
        """End this connection if it waits, sends or reads for longer than the limits allow."""
        limits = self._shared.limits
        waited = now - self._since
        if self._lingering:
            if waited > limits.linger:
                self.transport.abort()
        elif self._write_full or self.transport.is_closing():
            if waited > limits.request_timeout:
                self.transport.abort()
        elif self._at_end and waited in _PROBED and self._owed and not self._owed[0].head.old:
            # It may have gone altogether, which only what is sent to it brings to light. Of all that may be sent before
            # an answer (RFC 9110, 15.2) this is what every client reads on behind.
            self.transport.write(CONTINUE)
        elif self._parser.within:
            if waited > limits.request_timeout and not self._pipeline_full:  # then it is we who do not read
                self._refuse(408, f"the request did not arrive within {limits.request_timeout} seconds")
        elif not self._owed and waited > limits.idle_timeout:
            self.transport.close()

    def begin_draining(self) -> None:
        """Take one more request at most: the one that is on its way is the last."""
        self._draining, self._flowing = True, False

    def drain(self) -> None:
        """No further requests; close now, or after the last answer owed."""
        self.begin_draining()
        if not self.busy:
            if not self._lingering:
                self.transport.close()
        elif not self._parser.within:
            self._parser.stop()

    def _balance(self) -> None:
        """Read on, or not: while answers pile up here or in the socket, the client has to wait with its requests."""
        paused = self._pipeline_full or self._write_full
        self._flowing = not (paused or self._parser.done or self._draining or self._at_end)
        if self.transport.is_closing():
            return
        if paused:
            self.transport.pause_reading()
        else:
            if not self._at_end:
                self.transport.resume_reading()
            if self._suspended:
                asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        """Hand over what waited for the client to take its answers."""
        if not self._suspended or self._write_full or self._pipeline_full or self.transport.is_closing():
            return
        self._suspended = False
        self._take(self._parser.next())
        while self._later and not self._suspended:
            self.data_received(self._later.pop(0))
        if self._at_end and not self._suspended:
            self._parser.stop()
            if not self._owed:
                self.transport.close()

"""One HTTP/1.1 connection: what it was asked is answered in order, within the limits of memory and time.

Its `RequestParser` makes requests of the bytes that come. The connection hands each to the handler, keeps the answers
in the order of the requests, and keeps the client waiting while answers pile up, here or in the socket. Who waits,
sends or reads for too long is cut off.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

from onnxpress.serving.exchange import Headers, fail
from onnxpress.serving.protocol.refusal import error_body
from onnxpress.serving.transports.request_head import UNREADABLE, Head
from onnxpress.serving.transports.request_parser import RequestParser
from onnxpress.serving.transports.response import CONTINUE, OK_JSON, response
from onnxpress.serving.transports.shared import Shared

_PIPELINED = 64
"""answers owed on one connection before reading from it pauses"""


class PendingAnswer:
    """One request's place in its connection's order of answers; the exchange that is answered to."""

    __slots__ = ("answer", "connection", "head")

    def __init__(self, connection: Connection, head: Head) -> None:
        self.connection, self.head = connection, head
        self.answer: bytes | None = None
        """as it is to be written, once it is known"""

    @property
    def gone(self) -> bool:
        """Whether the connection is lost."""
        return self.connection.transport.is_closing()

    def respond(self, status: int, body: bytes, headers: Headers = ()) -> None:
        """See Exchange."""
        try:
            self.connection.answer(self, status, body, headers)
        except Exception as error:  # no memory to write it with: its client is told by the end of the connection
            print(f"an answer could not be written: {type(error).__name__}", file=sys.stderr)
            self.connection.transport.abort()


class Connection(asyncio.Protocol):
    """One client.

    `open_ones`: the connections that are open, this one among them once it is made. `on_lost` is called once it is not.
    `flowing`: nothing is out of the ordinary: not paused, not draining, not closing. `since`: the second in which it
    last began to wait for something.
    """

    __slots__ = (
        "_draining", "_flowing", "_lingering", "_on_lost", "_open_ones", "_owed", "_parser", "_pipeline_full",
        "_shared", "_since", "_write_full", "transport",
    )  # fmt: skip

    def __init__(self, shared: Shared, open_ones: set[Connection], on_lost: Callable[[], None]) -> None:
        self._shared, self._open_ones, self._on_lost = shared, open_ones, on_lost
        self._parser = RequestParser(shared.limits, shared.held, shared.heads, shared.headers_read)
        self.transport: asyncio.Transport = None  # type: ignore[assignment]
        self._owed: list[PendingAnswer] = []  # not a deque: a list is what mypyc knows, and this one is short
        self._flowing = True
        self._draining = False
        self._lingering = False  # the refusal is sent, and the client gets time to read it
        self._pipeline_full = self._write_full = False  # reasons for not reading
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
        if len(self._open_ones) > self._shared.limits.max_connections:
            self._refuse(503, "too many connections")
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._flowing = False
        self._parser.stop()
        # Answers that are still to come find no order to stand in, and are dropped; see `answer`.
        self._owed.clear()
        self._open_ones.discard(self)
        self._shared.traffic.connections -= 1
        self._on_lost()

    def data_received(self, data: bytes) -> None:
        parser = self._parser
        if parser.done:
            return
        if not parser.within:
            self._since = self._shared.seconds
        head = parser.receive(data)
        while head is not None:
            # With one client connected, and nothing more of it here, no request can come to share a run.
            self._request(head, parser.take_body(), parser.empty and len(self._open_ones) == 1)
            head = parser.next()
        if parser.refusal is not None:
            status, reason = parser.refusal
            self._refuse(status, reason)
        elif parser.waits_for_continue:
            parser.waits_for_continue = False
            if not self._owed:  # else it would be taken for the answer to an earlier request
                self.transport.write(CONTINUE)

    def pause_writing(self) -> None:
        self._write_full, self._since = True, self._shared.seconds
        self._balance()

    def resume_writing(self) -> None:
        self._write_full = False
        self._balance()

    # --- order

    def _request(self, head: Head, body: bytes, alone: bool) -> None:
        shared = self._shared
        pending = PendingAnswer(self, head)
        self._owed.append(pending)
        self._since = shared.seconds
        shared.held.taken += head.weight
        if not head.keep_alive or self._draining:
            self._parser.stop()
            self._flowing = False
        if len(self._owed) >= _PIPELINED:
            self._pipeline_full = True
            self._balance()
        try:
            if head.headers is None:
                shared.handler.submit(head.method, head.target, body, pending, alone)
            else:
                shared.handler.submit_with(head.headers, head.method, head.target, body, pending)
        except Exception as error:
            # The one place for all that nobody expected of a request, whoever reads or answers it.
            if pending.answer is None and pending in self._owed:
                fail(pending, error, "a request")

    def answer(self, pending: PendingAnswer, status: int, body: bytes, headers: Headers) -> None:
        """Write the answer now if it is this request's turn, else keep it until it is."""
        head, owed, shared = pending.head, self._owed, self._shared
        if status == 200 and len(owed) == 1 and self._flowing and head.usual and not headers:
            # The one answer owed is this one: what is no longer owed is of a connection that flows no more.
            owed.pop()
            self._since = shared.seconds
            self.transport.write(OK_JSON % (len(body), body))
            return
        if head.weight:
            shared.held.give_back(head.weight)
        if status == 200 and head.plain and not headers and not self._draining:
            pending.answer = OK_JSON % (len(body), body)
        else:
            if status != 200:
                shared.traffic.errors[status] += 1
            last = not head.keep_alive or (self._draining and bool(owed) and owed[-1] is pending)
            pending.answer = response(status, body, headers, bodiless=head.method == b"HEAD", last=last)
        if owed and owed[0] is pending:
            self._flush()

    def _flush(self) -> None:
        """Send every answer whose turn has come; the last one of a connection closes it."""
        owed = self._owed
        while owed and owed[0].answer is not None:
            pending = owed.pop(0)
            assert pending.answer is not None
            self._since = self._shared.seconds
            self.transport.write(pending.answer)
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
        if self._pipeline_full and len(owed) < _PIPELINED // 2:
            self._pipeline_full = False
            self._balance()
        if self._draining and not self.busy:
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
        self._flowing = not (paused or self._parser.done or self._draining)
        if self.transport.is_closing():
            return
        if paused:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

"""One HTTP/1.1 connection: keep-alive, pipelining in order, every size and wait bounded, requests to the service.

Clients repeat themselves: the heads of a connection's requests are the same bytes again and again. A head that
httptools has parsed is kept, and the same bytes are recognised by one look-up the next time, without the parser and its
callbacks. What is not recognised, or not complete, goes through the parser.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httptools

from onnxpress.serving.protocol.refusal import error_body
from onnxpress.serving.transports.answers import HEAVY, UNREADABLE, Head, Slot
from onnxpress.serving.transports.body import Body

if TYPE_CHECKING:
    from onnxpress.serving.transports.http import Server

_KEPT_HEADS = 512
_KEPT_HEAD_BYTES = 2048
_PIPELINED = 64
"""answers owed on one connection before reading from it pauses"""

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Connection(asyncio.Protocol):
    """One client.

    `flowing`: nothing is out of the ordinary: not paused, not draining, not closing. `since`: the second in which it
    last began to wait for something.
    """

    __slots__ = (
        "_body", "_bounded", "_chunked", "_closing", "_expects", "_head", "_head_bytes", "_headers",
        "_hosts", "_length", "_lingering", "_opening", "_parser", "_parsing", "_pipeline_full", "_received",
        "_reserved", "_target", "_write_full",
        "draining", "flowing", "owed", "server", "since", "transport",
    )  # fmt: skip

    def __init__(self, server: Server) -> None:
        self.server = server
        self.owed: list[Slot] = []  # not a deque: a list is what mypyc knows, and this one is short
        self.transport: asyncio.Transport = None  # type: ignore[assignment]
        self.flowing = True
        self.draining = False
        self._parser: Any = None
        self._parsing = False  # the parser is in the middle of a request
        self._head: Head | None = None  # of a recognised request whose body is not complete yet
        self._body = Body()
        self._closing = False  # nothing more is read: an error was answered, or the last request has come
        self._lingering = False  # the refusal is sent, and the client gets time to read it
        self._pipeline_full = self._write_full = False  # reasons for not reading
        self._reserved = 0  # bytes held for a body that is not complete
        self.since = server.seconds

    @property
    def busy(self) -> bool:
        """Whether a request is unanswered, or half here."""
        return bool(self.owed) or self._parsing or self._head is not None

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        connections = self.server.connections
        connections.add(self)
        self.server.traffic.connections += 1
        if len(connections) > self.server.limits.max_connections:
            self._refuse(503, "too many connections")
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        self.flowing = self._parsing = False
        self._head = None
        self._release()
        # Answers that are still to come find no order to stand in, and are dropped; see Slot.respond.
        self.owed.clear()
        self.server.gone(self)

    def data_received(self, data: bytes) -> None:
        server = self.server
        while data and not self._closing:
            if self._head is not None:
                data = self._more_body(self._head, data)
                continue
            if self._parsing:
                self._parse(data)
                return
            self.since = server.seconds
            start = data.find(b"\r\n\r\n") + 4
            head = server.heads.get(data[:start])
            if head is None:
                self._parse(data)
                return
            stop = start + head.length
            if stop == len(data):
                # With one client connected, and nothing more of it here, no request can come to share a run.
                self._request(head, data[start:], len(server.connections) == 1)
                return
            if stop > len(data):
                self._head = head
                self._reserve(head.weight)
                if not self._closing:
                    self._body.expect(head.length)
                    self._body.add(data[start:])
                return
            self._request(head, data[start:stop])
            data = data[stop:]

    def pause_writing(self) -> None:
        self._write_full, self.since = True, self.server.seconds
        self._balance()

    def resume_writing(self) -> None:
        self._write_full = False
        self._balance()

    # --- reading

    def _more_body(self, head: Head, data: bytes) -> bytes:
        """Add to the body of a recognised request; returns what lies behind it."""
        missing = head.length - self._body.length
        if len(data) < missing:
            self._body.add(data)
            return b""
        self._body.add(data[:missing] if len(data) > missing else data)
        self._head = None
        self._request(head, self._body.take())
        return data[missing:]

    def _parse(self, data: bytes) -> None:
        if self._parser is None:
            self._parser = httptools.HttpRequestParser(self)
        fresh = not self._parsing
        if fresh:
            self._begin()
            self._opening, self._received = data[: data.find(b"\r\n\r\n") + 4], 0
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._decline_upgrade(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError as error:
            self._refuse(400, f"not HTTP/1.1: {error}")
            return
        if self._closing:
            return
        if not self._parsing:
            self._keep()
        elif self._head_bytes is not None:
            # httptools keeps what it has of a header to itself until the header is complete.
            self._head_bytes += len(data)
            self._check_head(0)

    def _reserve(self, weight: int) -> None:
        """Hold room for a large body that is on its way; refuse it where there is none."""
        server = self.server
        if server.held + weight > server.limits.max_held:
            self._head = None
            self._refuse(503, f"bodies of {server.held} bytes are being read or waiting already; try again")
            return
        self._reserved += weight
        server.held += weight

    def _release(self) -> None:
        self.server.held -= self._reserved
        self._reserved = 0

    def _decline_upgrade(self, rest: bytes) -> None:
        """Take a request that offers another protocol as the HTTP/1.1 request that it is; `rest` follows its head.

        Java's client offers h2c with every first request, curl with --http2; a server may go on as before (RFC 9110,
        7.8). The parser leaves the body alone then.
        """
        parser, self._parser, self._parsing = self._parser, None, False
        if self._closing:
            return
        if self._chunked:
            self._refuse(501, "a chunked body cannot be read behind an offer to upgrade; send the request without it")
            return
        head = Head(parser.get_method(), self._target, self._length, parser.should_keep_alive(), self._headers)
        if head.length:
            self._head = head
            self._body.expect(head.length)
        else:
            self._request(head, b"")
        self.data_received(rest)

    def _begin(self) -> None:
        self._parsing, self.since = True, self.server.seconds
        self._target = b""
        self._body.clear()
        self._chunked = self._expects = False
        self._hosts = self._length = 0
        self._headers: dict[bytes, bytes] | None = None
        self._bounded = 0  # bytes of the head seen by callbacks
        self._head_bytes: int | None = 0  # bytes received of a head that is not complete; None once it is

    def on_message_begin(self) -> None:
        self._begin()

    def _check_head(self, more: int) -> None:
        self._bounded += more
        limit = self.server.limits.max_head
        if self._bounded > limit or (self._head_bytes or 0) > limit:
            self._refuse(431, f"the request's head is larger than {limit} bytes")

    def on_url(self, url: bytes) -> None:
        self._target += url
        self._check_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_bytes is None:
            return  # a trailer: nothing in it changes what was asked
        self._check_head(len(name) + len(value) + 4)
        name = name.lower()
        if name == b"host":
            self._hosts += 1
        elif name == b"content-length":
            self._length = int(value) if value.isdigit() else 0  # llhttp refuses what is no number
            if self._length > self.server.limits.max_body:
                self._refuse_body()
        elif name == b"transfer-encoding":
            self._chunked = True
            if value.lower() != b"chunked":
                self._refuse(501, f"the transfer encoding {_text(value)} is not read here")
        elif name == b"expect":
            self._expects = value.lower() == b"100-continue"
            if not self._expects:
                self._refuse(417, "the only expectation met here is 100-continue")
        elif name in self.server.handler.headers_read:
            # Given twice it is not one thing to go by; the handler refuses what a comma makes of it.
            known = self._headers or {}
            self._headers = known | {name: b"%b, %b" % (known[name], value) if name in known else value}

    def on_headers_complete(self) -> None:
        self._head_bytes = None
        if self._closing:
            return
        if self._hosts != 1 and self._parser.get_http_version() == "1.1":
            # Two readers of such a request could take it for two different sites (RFC 9112, 3.2).
            self._refuse(400, f"a request must have one Host header; this one has {self._hosts}")
            return
        self._reserve(self._length if self._length >= HEAVY else 0)
        if not (self._chunked or self._closing):
            self._body.expect(self._length)
        if (
            self._expects and not self._closing and not self.owed
        ):  # else it would be taken for the answer to an earlier request
            self.transport.write(_CONTINUE)

    def on_body(self, part: bytes) -> None:
        if self._closing:
            return
        if self._body.length + len(part) > self.server.limits.max_body:
            self._refuse_body()
            return
        if self._chunked:
            self._reserve(len(part))
        self._body.add(part)

    def on_message_complete(self) -> None:
        parser = self._parser
        if self._closing or parser.should_upgrade():
            return
        self._parsing = False
        # HTTP/1.0 clients that keep connections open want it confirmed; closing is as right, and simpler.
        keep_alive = parser.should_keep_alive() and parser.get_http_version() == "1.1"
        head = Head(parser.get_method(), self._target, self._body.length, keep_alive, self._headers)
        self._request(head, self._body.take())

    def _keep(self) -> None:
        """Remember the head of a plain request whose head came in one piece, and nothing else before or behind it.

        The same bytes need no parser again.
        """
        end = len(self._opening)
        heads = self.server.heads
        plain = not (self._chunked or self._expects) and 0 < end <= _KEPT_HEAD_BYTES
        if plain and end + self._body.length == self._received:
            if len(heads) >= _KEPT_HEADS:
                heads.clear()
            method = self._parser.get_method()
            heads[self._opening] = Head(method, self._target, self._body.length, True, self._headers)

    def _request(self, head: Head, body: bytes, alone: bool = False) -> None:
        slot = Slot(self, head)
        self.owed.append(slot)
        if self._reserved:
            self._release()
        self.server.held += head.weight
        if not head.keep_alive or self.draining:
            self._closing, self.flowing = True, False
        if len(self.owed) >= _PIPELINED:
            self._pipeline_full = True
            self._balance()
        if head.headers is None:
            self.server.handler.submit(head.method, head.target, body, slot, alone)
        else:
            self.server.handler.submit_with(head.headers, head.method, head.target, body, slot)

    # --- writing

    def flush(self) -> None:
        """Send every answer whose turn has come; the last one of a connection closes it."""
        owed = self.owed
        while owed and owed[0].answer is not None:
            slot = owed.pop(0)
            assert slot.answer is not None
            self.since = self.server.seconds
            self.transport.write(slot.answer)
            if slot.head is UNREADABLE:
                # Closing at once, with bytes of the request unread, would reset the connection before the client has
                # read why. So only this side is ended, and what still comes is thrown away for a while.
                self._lingering = True
                if self.transport.can_write_eof():
                    self.transport.write_eof()
                return
            if not slot.head.keep_alive:
                self.transport.close()
                return
        if self._pipeline_full and len(owed) < _PIPELINED // 2:
            self._pipeline_full = False
            self._balance()
        if self.draining and not self.busy:
            self.transport.close()

    def _refuse(self, status: int, message: str) -> None:
        """Answer what cannot be read to its end, behind the answers already owed, and close: the framing is lost."""
        if self._closing:
            return
        self._closing, self.flowing, self._parsing = True, False, False
        self._body.clear()
        self._release()
        slot = Slot(self, UNREADABLE)
        self.owed.append(slot)
        slot.respond(status, error_body(message))

    def _refuse_body(self) -> None:
        self._refuse(413, f"the body is larger than {self.server.limits.max_body} bytes")

    # --- time and pressure

    def check_time(self, now: int) -> None:
        """End this connection if it waits, sends or reads for longer than the limits allow."""
        limits = self.server.limits
        waited = now - self.since
        if self._lingering:
            if waited > limits.linger:
                self.transport.abort()
        elif self._write_full or self.transport.is_closing():
            if waited > limits.request_timeout:
                self.transport.abort()
        elif self._parsing or self._head is not None:
            if waited > limits.request_timeout and not self._pipeline_full:  # then it is we who do not read
                self._head = None
                self._refuse(408, f"the request did not arrive within {limits.request_timeout} seconds")
        elif not self.owed and waited > limits.idle_timeout:
            self.transport.close()

    def drain(self) -> None:
        """No further requests; close now, or after the last answer owed."""
        self.draining, self.flowing = True, False
        if not self.busy:
            if not self._lingering:
                self.transport.close()
        elif not self._parsing and self._head is None:
            self._closing = True

    def _balance(self) -> None:
        """Read on, or not: while answers pile up here or in the socket, the client has to wait with its requests."""
        paused = self._pipeline_full or self._write_full
        self.flowing = not (paused or self._closing or self.draining)
        if self.transport.is_closing():
            return
        if paused:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()


def _text(value: bytes) -> str:
    return repr(value[:80].decode("latin-1"))

"""HTTP/1.1 on asyncio: uvloop and httptools, keep-alive, pipelining in order, every size and wait bounded.

Clients repeat themselves: the head of a keep-alive connection's requests is the same bytes again and again. A head that
httptools has parsed is kept, and the same bytes are recognised by one look-up the next time, without the parser and its
callbacks. What is not recognised, or not complete, goes through the parser.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import httptools

from onnxpress.serving.protocol.errors import Headers, error_body
from onnxpress.serving.service import Service
from onnxpress.serving.transports.answers import CONTINUE, OK_JSON, answer
from onnxpress.serving.transports.heads import Head
from onnxpress.serving.transports.limits import Limits

_KEPT_HEADS = 512
_KEPT_HEAD_BYTES = 2048
_PIPELINED = 64
"""answers owed on one connection before reading from it pauses"""
_SWEEP_SECONDS = 1.0
_LINGER_SECONDS = 2
"""how long a refused client may go on sending, so that it reads the refusal and not a reset"""


class Server:
    """What all connections share: the service, the limits, the kept heads, and the clock that ends slow ones."""

    def __init__(self, service: Service, limits: Limits) -> None:
        self.service, self.limits = service, limits
        self.connections: set[Connection] = set()
        self.heads: dict[bytes, Head] = {}
        self.seconds = 0
        self.on_idle: Callable[[], None] | None = None
        """called when the last owed answer was sent, while the server is draining"""
        self._timer: asyncio.TimerHandle | None = None

    def connection(self) -> Connection:
        """A protocol for one accepted socket."""
        return Connection(self)

    def tick(self) -> None:
        """Once a second: end the connections that have been idle, or busy sending one request, for too long."""
        self.seconds += 1
        for connection in list(self.connections):
            connection.check_time(self.seconds)
        self._timer = asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self.tick)

    def stop(self) -> None:
        """End the clock and every connection that owes nothing; the others end with their last answer."""
        if self._timer is not None:
            self._timer.cancel()
        for connection in list(self.connections):
            connection.drain()

    @property
    def owes(self) -> bool:
        """Whether any accepted request is still without its answer."""
        return any(connection.busy for connection in self.connections)

    def answered(self) -> None:
        """A connection sent its last owed answer."""
        if self.on_idle is not None and not self.owes:
            self.on_idle()


class _Slot:
    """One request's place in its connection's order of answers; the exchange that the service answers to."""

    __slots__ = ("answer", "connection", "head")

    def __init__(self, connection: Connection, head: Head) -> None:
        self.connection, self.head = connection, head
        self.answer: bytes | None = None

    def respond(self, status: int, body: bytes, headers: Headers = ()) -> None:
        """Write the answer now if it is this request's turn, else keep it until it is."""
        head = self.head
        if status == 200 and head.keep_alive and not head.head_only and not headers:
            written = (OK_JSON % len(body)) + body
        else:
            written = answer(status, body, headers, keep_alive=head.keep_alive, head_only=head.head_only)
        connection = self.connection
        owed = connection.owed
        if owed[0] is self:
            owed.popleft()
            connection.write(written, head.keep_alive)
            if owed or connection.draining or connection.reading_paused:
                connection.flush()
        else:
            self.answer = written


class Connection(asyncio.Protocol):
    """One client. Between requests `_parser` is at rest, and `_head` is None."""

    __slots__ = (
        "_body", "_body_length", "_chunked", "_closing", "_expects", "_full", "_head", "_head_bytes", "_headers",
        "_hosts", "_lingers", "_parser", "_parsing", "_since", "_target", "_unsent", "draining", "owed",
        "reading_paused", "server", "transport",
    )  # fmt: skip

    def __init__(self, server: Server) -> None:
        self.server = server
        self.owed: deque[_Slot] = deque()
        self.transport: asyncio.Transport = None  # type: ignore[assignment]
        self.draining = self.reading_paused = False
        self._parser: Any = None
        self._headers: dict[bytes, bytes] | None = None
        self._parsing = False  # the parser is in the middle of a request
        self._closing = False  # nothing more is read: an error was answered, or the client said close
        self._head: Head | None = None  # of a recognised request whose body is not complete yet
        self._body: list[bytes] = []
        self._body_length = 0
        self._since = server.seconds
        self._unsent = 0
        self._full = False  # the client does not take its answers as fast as they come
        self._lingers = False  # refused: what it still sends is thrown away, for a while

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        connections = self.server.connections
        connections.add(self)
        if len(connections) > self.server.limits.max_connections:
            self._refuse(503, "too many connections")
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        self.server.connections.discard(self)
        for slot in self.owed:
            slot.answer = b""
        self.owed.clear()
        # Late answers for this connection find themselves at the head of nothing; see _Slot.respond.
        self.owed.append(_NOBODY)
        self.server.answered()

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        server = self.server
        while data:
            if self._head is not None:
                data = self._more_body(data)
                continue
            if self._parsing:
                self._parse(data)
                return
            self._since = server.seconds
            end = data.find(b"\r\n\r\n")
            head = server.heads.get(data[: end + 4]) if end > 0 else None
            if head is None:
                self._parse(data)
                return
            start = end + 4
            stop = start + head.length
            if stop == len(data):
                self._request(head, data[start:] if start else data)
                return
            if stop < len(data):
                self._request(head, data[start:stop])
                if self._closing:
                    return
                data = data[stop:]
            else:
                self._head, self._body, self._body_length = head, [data[start:]], len(data) - start
                return

    def pause_writing(self) -> None:
        self._full = True
        self._pause()

    def resume_writing(self) -> None:
        self._full = False
        self._resume()

    # --- reading

    def _more_body(self, data: bytes) -> bytes:
        """Add to the body of a recognised request; returns what lies behind it."""
        head = self._head
        assert head is not None
        missing = head.length - self._body_length
        self._body.append(data[:missing])
        self._body_length += min(missing, len(data))
        if self._body_length == head.length:
            body, self._head, self._body = b"".join(self._body), None, []
            self._request(head, body)
            return b"" if self._closing else data[missing:]
        return b""

    def _parse(self, data: bytes) -> None:
        if self._parser is None:
            self._parser = httptools.HttpRequestParser(self)
        fresh = not self._parsing
        if fresh:
            self._parsing, self._since, self._head_bytes, self._target = True, self.server.seconds, 0, b""
        if self._head_bytes >= 0:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # refused when its head was complete
        except httptools.HttpParserError as error:
            self._refuse(400, f"not HTTP/1.1: {error}")
        else:
            # A head that is still not complete: -1 stands for complete.
            if not self._closing and self._parsing and self._head_bytes > self.server.limits.max_head:
                self._refuse(431, f"the request's head is larger than {self.server.limits.max_head} bytes")
            elif fresh and not self._closing and not self._parsing:
                self._keep(data)

    def on_message_begin(self) -> None:
        self._parsing, self._target, self._body, self._body_length = True, b"", [], 0
        self._chunked = self._expects = False
        self._hosts, self._headers = 0, None
        self._since = self.server.seconds

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if self._head_bytes < 0:
            return  # a trailer: nothing in it changes what was asked
        if name == b"transfer-encoding":
            self._chunked = True
        elif name == b"expect":
            self._expects = value.lower() == b"100-continue"
            if not self._expects:
                self._refuse(417, "the only expectation met here is 100-continue")
        elif name == b"content-length" and value.isdigit() and int(value) > self.server.limits.max_body:
            self._refuse_body()
        elif name == b"host":
            self._hosts += 1
        elif name in self.server.service.headers_read:
            # Given twice, they are not one thing to go by; the service refuses what a comma makes of them.
            known = self._headers or {}
            self._headers = known | {name: b", ".join([known[name], value]) if name in known else value}

    def on_headers_complete(self) -> None:
        self._head_bytes = -1
        if self._closing:
            return
        if self._hosts != 1 and (self._hosts or self._parser.get_http_version() != "1.0"):
            self._refuse(400, f"a request has one Host header, this one {self._hosts}")
        elif self._parser.should_upgrade():
            self._refuse(400, "upgrades are not spoken here")
        elif self._expects and not self.owed:  # it would be taken for the answer to an earlier request
            self.transport.write(CONTINUE)

    def on_body(self, part: bytes) -> None:
        if self._closing:
            return
        self._body_length += len(part)
        if self._body_length > self.server.limits.max_body:
            self._refuse_body()
            return
        self._body.append(part)

    def on_message_complete(self) -> None:
        self._parsing, self._head_bytes = False, 0
        if self._closing:
            return
        parser = self._parser
        if self._target[:7].lower() == b"http://":  # the absolute form, as proxies send it
            self._target = b"/" + self._target[7:].partition(b"/")[2]
        head = Head(parser.get_method(), self._target, self._body_length, parser.should_keep_alive(), self._headers)
        body, self._body = b"".join(self._body), []
        self._request(head, body)

    def _keep(self, data: bytes) -> None:
        """Remember the head of a plain request that came in one piece, so that the same bytes need no parser again."""
        end = data.find(b"\r\n\r\n") + 4
        heads = self.server.heads
        plain = not (self._chunked or self._expects) and end <= _KEPT_HEAD_BYTES
        if plain and end + self._body_length == len(data) and self._parser.should_keep_alive():
            if len(heads) >= _KEPT_HEADS:
                heads.clear()
            method = self._parser.get_method()
            heads[data[:end]] = Head(method, self._target, self._body_length, True, self._headers)

    def _request(self, head: Head, body: bytes) -> None:
        slot = _Slot(self, head)
        self.owed.append(slot)
        if self.draining or not head.keep_alive:
            self._closing = True
        if len(self.owed) >= _PIPELINED:
            self._pause()
        if head.headers is None:
            self.server.service.submit(head.method, head.target, body, slot)
        else:
            self.server.service.submit_with(head.headers, head.method, head.target, body, slot)

    # --- writing

    def write(self, answer: bytes, keep_alive: bool) -> None:
        """Send an answer; the last one of a connection closes it."""
        self.transport.write(answer)
        if not keep_alive:
            self._closing = True
            # To close on a client that is still sending would reset the connection, and it might never read why.
            if self._lingers and self.transport.can_write_eof():
                self._since = self.server.seconds
                self.transport.write_eof()
            else:
                self.transport.close()

    def flush(self) -> None:
        """Send the answers that waited for an earlier one."""
        owed = self.owed
        while owed and owed[0].answer is not None:
            slot = owed.popleft()
            assert slot.answer is not None
            self.write(slot.answer, slot.head.keep_alive)
        self._resume()
        if self.draining and not owed:
            self.transport.close()
            self.server.answered()

    def _refuse(self, status: int, message: str) -> None:
        """Answer what cannot be read on, behind the answers already owed, and close: the framing is lost."""
        if self._closing:
            return
        self._closing = self._lingers = True
        slot = _Slot(self, Head(b"", b"", 0, False))
        self.owed.append(slot)
        slot.respond(status, error_body(message))

    def _refuse_body(self) -> None:
        self._refuse(413, f"the body is larger than {self.server.limits.max_body} bytes")

    # --- time and pressure

    @property
    def busy(self) -> bool:
        """Whether a request has begun, or waits for its answer."""
        return bool(self.owed) or ((self._parsing or self._head is not None) and not self._closing)

    def check_time(self, now: int) -> None:
        """End this connection if it is idle, or its request incomplete, for longer than the limits allow."""
        limits = self.server.limits
        unsent = self.transport.get_write_buffer_size()
        if unsent != self._unsent:
            self._unsent, self._since = unsent, now
        waited = now - self._since
        if unsent and waited > limits.idle_seconds:
            self.transport.abort()  # close() would wait for ever until the client takes it
        elif (self._parsing or self._head is not None) and not self._closing:
            if waited > limits.request_seconds and not self.reading_paused:
                self._refuse(408, f"the request did not arrive within {limits.request_seconds} seconds")
        elif self.owed or unsent:
            return  # the model's time, or a slow reader's
        elif waited > (_LINGER_SECONDS if self._lingers else limits.idle_seconds):
            self.transport.close()

    def drain(self) -> None:
        """No further requests; close now, or after the last owed answer."""
        self.draining = True
        if not self.busy:
            self.transport.close()

    def _pause(self) -> None:
        if not self.reading_paused:
            self.reading_paused = True
            self.transport.pause_reading()

    def _resume(self) -> None:
        if self.reading_paused and not self._full and len(self.owed) < _PIPELINED // 2:
            self.reading_paused = False
            self.transport.resume_reading()


class _Nobody(_Slot):
    """Stands at the head of a lost connection's order, so that late answers only mark themselves."""

    __slots__ = ()

    def __init__(self) -> None:
        self.answer = None


_NOBODY = _Nobody()

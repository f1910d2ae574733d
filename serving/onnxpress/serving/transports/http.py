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
import msgspec

from onnxpress.serving.protocol.errors import Headers, error_body
from onnxpress.serving.service import Service

_KEPT_HEADS = 512
_KEPT_HEAD_BYTES = 2048
_PIPELINED = 64
"""answers owed on one connection before reading from it pauses"""
_SWEEP_SECONDS = 1.0

_OK_JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_PHRASES = {
    200: b"OK", 400: b"Bad Request", 404: b"Not Found", 405: b"Method Not Allowed", 408: b"Request Timeout",
    413: b"Content Too Large", 415: b"Unsupported Media Type", 417: b"Expectation Failed",
    431: b"Request Header Fields Too Large", 503: b"Service Unavailable",
}  # fmt: skip


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of the transport; sizes in bytes, times in seconds."""

    max_body: int = 64 * 1024 * 1024
    max_head: int = 32 * 1024
    max_connections: int = 10_000
    idle_seconds: int = 75
    """an open connection without a request"""
    request_seconds: int = 60
    """from the first byte of a request to its last"""
    grace_seconds: float = 30.0
    """for accepted requests after SIGTERM"""


class _Head:
    """What a parsed head means; kept for the next request with the same bytes."""

    __slots__ = ("head_only", "keep_alive", "length", "method", "target")

    def __init__(self, method: bytes, target: bytes, length: int, keep_alive: bool) -> None:
        self.method, self.target, self.length, self.keep_alive = method, target, length, keep_alive
        self.head_only = method == b"HEAD"


class Server:
    """What all connections share: the service, the limits, the kept heads, and the clock that ends slow ones."""

    def __init__(self, service: Service, limits: Limits) -> None:
        self.service, self.limits = service, limits
        self.connections: set[Connection] = set()
        self.heads: dict[bytes, _Head] = {}
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
        return any(connection.owed for connection in self.connections)

    def answered(self) -> None:
        """A connection sent its last owed answer."""
        if self.on_idle is not None and not self.owes:
            self.on_idle()


class _Slot:
    """One request's place in its connection's order of answers; the exchange that the service answers to."""

    __slots__ = ("answer", "connection", "head")

    def __init__(self, connection: Connection, head: _Head) -> None:
        self.connection, self.head = connection, head
        self.answer: bytes | None = None

    def respond(self, status: int, body: bytes, headers: Headers = ()) -> None:
        """Write the answer now if it is this request's turn, else keep it until it is."""
        head = self.head
        if status == 200 and head.keep_alive and not head.head_only:
            answer = (_OK_JSON % len(body)) + body
        else:
            answer = _answer(status, body, headers, head)
        connection = self.connection
        owed = connection.owed
        if owed[0] is self:
            owed.popleft()
            connection.write(answer, head.keep_alive)
            if owed or connection.draining or connection.reading_paused:
                connection.flush()
        else:
            self.answer = answer


class Connection(asyncio.Protocol):
    """One client. Between requests `_parser` is at rest, and `_head` is None."""

    __slots__ = (
        "_body", "_body_length", "_chunked", "_closing", "_expects", "_head", "_head_bytes", "_parser", "_parsing",
        "_since", "_target", "draining", "owed", "reading_paused", "server", "transport",
    )  # fmt: skip

    def __init__(self, server: Server) -> None:
        self.server = server
        self.owed: deque[_Slot] = deque()
        self.transport: asyncio.Transport = None  # type: ignore[assignment]
        self.draining = self.reading_paused = False
        self._parser: Any = None
        self._parsing = False  # the parser is in the middle of a request
        self._closing = False  # nothing more is read: an error was answered, or the client said close
        self._head: _Head | None = None  # of a recognised request whose body is not complete yet
        self._body: list[bytes] = []
        self._body_length = 0
        self._since = server.seconds

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        connections = self.server.connections
        connections.add(self)
        if len(connections) > self.server.limits.max_connections:
            self._refuse(503, "too many connections")

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
        self._pause()

    def resume_writing(self) -> None:
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
            self._refuse(400, "upgrades are not spoken here")
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
        self._since = self.server.seconds

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"transfer-encoding":
            self._chunked = True
        elif name == b"expect":
            self._expects = value.lower() == b"100-continue"
            if not self._expects:
                self._refuse(417, "the only expectation met here is 100-continue")
        elif name == b"content-length" and value.isdigit() and int(value) > self.server.limits.max_body:
            self._refuse_body()
        elif name == b"content-encoding" and value.lower() != b"identity":
            self._refuse(415, f"the content encoding {value.decode('latin-1')!r} is not read here")

    def on_headers_complete(self) -> None:
        self._head_bytes = -1
        if self._expects and not self._closing:
            self.transport.write(_CONTINUE)

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
        head = _Head(parser.get_method(), self._target, self._body_length, parser.should_keep_alive())
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
            heads[data[:end]] = _Head(self._parser.get_method(), self._target, self._body_length, True)

    def _request(self, head: _Head, body: bytes) -> None:
        slot = _Slot(self, head)
        self.owed.append(slot)
        if not head.keep_alive:
            self._closing = True
        if len(self.owed) >= _PIPELINED:
            self._pause()
        self.server.service.submit(head.method, head.target, body, slot)

    # --- writing

    def write(self, answer: bytes, keep_alive: bool) -> None:
        """Send an answer; the last one of a connection closes it."""
        self.transport.write(answer)
        if not keep_alive:
            self._closing = True
            self.transport.close()

    def flush(self) -> None:
        """Send the answers that waited for an earlier one."""
        owed = self.owed
        while owed and owed[0].answer is not None:
            slot = owed.popleft()
            assert slot.answer is not None
            self.write(slot.answer, slot.head.keep_alive)
        if self.reading_paused and len(owed) < _PIPELINED // 2:
            self._resume()
        if self.draining and not owed:
            self.transport.close()
            self.server.answered()

    def _refuse(self, status: int, message: str) -> None:
        """Answer what cannot be read on, behind the answers already owed, and close: the framing is lost."""
        if self._closing:
            return
        self._closing = True
        slot = _Slot(self, _Head(b"", b"", 0, False))
        self.owed.append(slot)
        slot.respond(status, error_body(message))

    def _refuse_body(self) -> None:
        self._refuse(413, f"the body is larger than {self.server.limits.max_body} bytes")

    # --- time and pressure

    def check_time(self, now: int) -> None:
        """End this connection if it is idle, or its request incomplete, for longer than the limits allow."""
        limits = self.server.limits
        waited = now - self._since
        if self._parsing or self._head is not None:
            if waited > limits.request_seconds:
                self._refuse(408, f"the request did not arrive within {limits.request_seconds} seconds")
        elif not self.owed and waited > limits.idle_seconds:
            self.transport.close()

    def drain(self) -> None:
        """No further requests; close now, or after the last owed answer."""
        self.draining = True
        if not self.owed:
            self.transport.close()

    def _pause(self) -> None:
        if not self.reading_paused:
            self.reading_paused = True
            self.transport.pause_reading()

    def _resume(self) -> None:
        if self.reading_paused and not self.transport.is_closing():
            self.reading_paused = False
            self.transport.resume_reading()


class _Nobody(_Slot):
    """Stands at the head of a lost connection's order, so that late answers only mark themselves."""

    __slots__ = ()

    def __init__(self) -> None:
        self.answer = None


_NOBODY = _Nobody()


def _answer(status: int, body: bytes, headers: Headers, head: _Head) -> bytes:
    """Any answer but the usual one."""
    lines = [
        b"HTTP/1.1 %d %b" % (status, _PHRASES[status]),
        b"content-type: application/json",
        b"content-length: %d" % len(body),
        *(b"%b: %b" % header for header in headers),
    ]
    if status == 503:
        lines.append(b"retry-after: 1")
    if not head.keep_alive:
        lines.append(b"connection: close")
    return b"\r\n".join([*lines, b"", b"" if head.head_only else body])

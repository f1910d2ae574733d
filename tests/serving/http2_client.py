"""An HTTP/2 client that writes frames as a test says, and reads what comes back frame by frame."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.serving.harness import WAIT

from onnxpress.serving.transports.http2 import frames, hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
Fields = list[tuple[bytes, bytes]]


@dataclass
class Frame:
    kind: int
    flags: int
    stream: int
    payload: bytes

    @property
    def code(self) -> int:
        """Of RST_STREAM and GOAWAY, the error's."""
        return int.from_bytes(self.payload[-4:] if self.kind == frames.RST_STREAM else self.payload[4:8], "big")


@dataclass
class Answer:
    headers: dict[str, str]
    body: bytes = b""
    trailers: dict[str, str] = field(default_factory=dict)

    @property
    def status(self) -> int:
        return int(self.headers[":status"])


class Http2Client:
    """One connection, begun with the preface and SETTINGS of `settings`; with TLS where there is a `context`."""

    def __init__(
        self, port: int, settings: dict[int, int] | None = None, context: ssl.SSLContext | None = None
    ) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=WAIT)
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self.socket.makefile("rb")
        self._decoder = hpack.Decoder(1 << 20)
        self._next = 1
        self.send(PREFACE + frames.settings(settings or {}))

    def __enter__(self) -> Http2Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def ask(self, method: str, path: str, body: bytes = b"", headers: Sequence[tuple[str, str]] = ()) -> int:
        """Send a request; the number of its stream."""
        number, self._next = self._next, self._next + 2
        self.send(request(number, method, path, body, headers))
        return number

    def frame(self) -> Frame | None:
        """The next frame; None where the connection has ended."""
        try:
            head = self._file.read(9)
        except ConnectionResetError:
            return None
        if len(head) < 9:
            return None
        size = int.from_bytes(head[:3], "big")
        return Frame(head[3], head[4], int.from_bytes(head[5:9], "big"), self._file.read(size))

    def until(self, *kinds: int) -> Frame:
        """The next frame of one of these kinds."""
        while (found := self.frame()) is not None:
            if found.kind in kinds:
                return found
        raise EOFError

    def answer(self, stream: int) -> Answer:
        """The answer of this stream, which must be the next that is not of the connection."""
        found: Answer | None = None
        while True:
            frame = self.until(frames.HEADERS, frames.DATA, frames.RST_STREAM, frames.GOAWAY)
            if frame.kind == frames.RST_STREAM or (frame.kind == frames.GOAWAY and frame.code):
                raise AssertionError(frame)
            if frame.kind == frames.GOAWAY:
                continue
            assert frame.stream == stream
            if frame.kind == frames.HEADERS:
                fields = {name.decode(): value.decode() for name, value in self._decoder.decode(frame.payload)}
                if found is None:
                    found = Answer(fields)
                else:
                    found.trailers = fields
            else:
                assert found is not None
                found.body += frame.payload
            if frame.flags & frames.END_STREAM:
                assert found is not None
                return found

    def error(self) -> int:
        """The code that the connection, or a stream, is ended with."""
        return self.until(frames.RST_STREAM, frames.GOAWAY).code


def fields_of(method: str, path: str, headers: Sequence[tuple[str, str]] = ()) -> Fields:
    """A request's header list."""
    asked = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "test"), *headers]
    return [(name.encode(), value.encode()) for name, value in asked]


def request(number: int, method: str, path: str, body: bytes = b"", headers: Sequence[tuple[str, str]] = ()) -> bytes:
    """Its frames."""
    head = frames.END_HEADERS | (0 if body else frames.END_STREAM)
    found = [frames.frame(frames.HEADERS, head, number, hpack.encoded(fields_of(method, path, headers)))]
    for start in range(0, len(body), frames.PAYLOAD):
        part = body[start : start + frames.PAYLOAD]
        last = start + len(part) == len(body)
        found.append(frames.frame(frames.DATA, frames.END_STREAM if last else 0, number, part))
    return b"".join(found)

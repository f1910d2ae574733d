"""HTTP/1.1 as a client speaks it, bytes in and bytes out, without I/O: a request written, an answer read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from httptools import HttpParserError, HttpResponseParser

from onnxpress.core.errors import ServerError


@dataclass(frozen=True)
class Request:
    """What is asked: a method, a path below the server's prefix, more headers, and the body's parts."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Sequence[bytes] = ()

    def head(self, host: str, prefix: str, headers: Mapping[str, str]) -> bytes:
        """Request line and headers; `headers` go with every request of a client."""
        lines = [f"{self.method} {prefix}{self.path} HTTP/1.1", f"host: {host}", "user-agent: onnxpress"]
        if self.method == "POST":
            lines.append(f"content-length: {sum(map(len, self.body))}")
        lines += [f"{name}: {value}" for name, value in {**headers, **self.headers}.items()]
        return "\r\n".join([*lines, "", ""]).encode("ascii")


@dataclass
class Answer:
    """What came back: a status, headers with names in small letters, and a body that may be written into."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)


class AnswerParser:
    """The bytes of one answer, fed in as they come."""

    def __init__(self) -> None:
        self.answer = Answer()
        self.complete = False
        self.keep_alive = False
        """whether the connection can be used again"""
        self._headed = False
        self._parser = HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Read on; nothing at all is the connection's end. Raises ServerError where this cannot be an answer."""
        if not data:
            self._end()
            return
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            raise ServerError(f"the answer is not HTTP: {error}") from None

    def _end(self) -> None:
        framed = {"content-length", "transfer-encoding"} & self.answer.headers.keys()
        if not self._headed or framed:
            raise ServerError("the server closed the connection before its answer was whole")
        self.complete, self.keep_alive = True, False  # such a body ends with its connection

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        self.answer.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.answer.status = self._parser.get_status_code()
        self._headed = self.answer.status >= 200

    def on_body(self, data: bytes) -> None:
        self.answer.body += data

    def on_message_complete(self) -> None:
        if self._headed:
            self.complete, self.keep_alive = True, self._parser.should_keep_alive()
        else:  # 100 Continue and the like: the answer itself follows
            self.answer = Answer()

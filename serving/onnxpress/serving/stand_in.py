"""What answers while no worker does: that the server is live, and that nothing else can be had yet.

While the first workers load their models, or after the last one was killed, connections would wait in the kernel for as
long as loading takes. The supervisor accepts them instead. It must stay light and must never wait for a client, so this
reads no more of a request than its first line, answers, and ends the connection.
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from onnxpress.serving.http_date import http_date

if TYPE_CHECKING:
    import ssl

_MOST = 200
"""connections at once; `select` takes no descriptor above 1023. Beyond, the oldest make room: whoever sends nothing
must not keep those waiting who ask"""
_AT_A_TIME = _MOST // 2
"""connections that are accepted before others are read again, so that each is looked at before it makes room"""
_SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)
_PAUSE_SECONDS = 0.2
"""without accepting, where the system has no descriptor to give"""
_LONGEST_HEAD = 16 * 1024
_HEAD_SECONDS, _LINGER_SECONDS = 5.0, 2.0
"""for a head to come, and for a client to read its answer"""
_PIECE = 16 * 1024
_STATUS = {200: "OK", 503: "Service Unavailable"}


class _Caller(msgspec.Struct, eq=False):
    """One connection, of which `head` has come; once it is answered, what still comes is thrown away."""

    connection: socket.socket
    until: float
    head: bytes = b""
    answered: bool = False


class StandIn:
    """Accepts from `listeners` and answers, whenever it is told that something can be read.

    `tls` makes the context by which connections are taken, where they speak TLS.
    """

    def __init__(self, listeners: Sequence[socket.socket], tls: Callable[[], ssl.SSLContext] | None = None) -> None:
        self._listeners, self._tls = listeners, tls
        self._context: ssl.SSLContext | None = None
        self._callers: dict[int, _Caller] = {}
        self._paused: float | None = None
        """until when nothing is accepted (time.monotonic)"""

    def sources(self, *, accepting: bool) -> list[int]:
        """Descriptors to wait for; with those of the listeners where connections are to be accepted."""
        if self._paused is not None and time.monotonic() >= self._paused:
            self._paused = None
        listening = [one.fileno() for one in self._listeners] if accepting and self._paused is None else []
        return [*listening, *self._callers]

    @property
    def until(self) -> float | None:
        """When the next connection has had its time, or it is accepted again (time.monotonic)."""
        times = [caller.until for caller in self._callers.values()]
        return min(times if self._paused is None else [*times, self._paused], default=None)

    def serve(self, readable: Sequence[int]) -> None:
        """Do what can be done at once: accept, read, answer, and end what has had its time."""
        for descriptor in readable:
            caller = self._callers.get(descriptor)
            if caller is not None:
                self._read(caller)
        for listener in self._listeners:
            if listener.fileno() in readable:
                self._accept(listener)
        now = time.monotonic()
        for caller in [one for one in self._callers.values() if one.until <= now]:
            self._end(caller)

    def close(self) -> None:
        """End every connection. In a new worker: let go of what is its supervisor's."""
        for caller in list(self._callers.values()):
            self._end(caller)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_AT_A_TIME):
            if len(self._callers) >= _MOST:
                self._make_room()
            try:
                connection, _ = listener.accept()
            except OSError as error:  # another was quicker, or the client has gone
                if error.errno in _SHORTAGES and not self._make_room():
                    self._paused = time.monotonic() + _PAUSE_SECONDS
                return
            try:
                connection.setblocking(False)
                if self._tls is not None:
                    self._context = self._context or self._tls()
                    connection = self._context.wrap_socket(
                        connection, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=True
                    )
            except Exception:  # a certificate that is being replaced, say: the workers say what is wrong with it
                connection.close()
                continue
            caller = _Caller(connection, time.monotonic() + _HEAD_SECONDS)
            self._callers[connection.fileno()] = caller
            self._read(caller)  # most have sent all by now

    def _make_room(self) -> bool:
        """End the connection that was answered first, or else the oldest; False where there is none."""
        oldest = next(iter(self._callers.values()), None)
        caller = next((one for one in self._callers.values() if one.answered), oldest)
        if caller is None:
            return False
        self._end(caller)
        return True

    def _read(self, caller: _Caller) -> None:
        while True:
            try:
                data = caller.connection.recv(_PIECE)
            except OSError as error:
                if not _waits(error):
                    self._end(caller)
                return
            if not data:
                self._end(caller)
                return
            if caller.answered:
                continue
            caller.head += data
            if b"\r\n\r\n" in caller.head:
                self._answer(caller)
            elif len(caller.head) > _LONGEST_HEAD:
                self._end(caller)
                return

    def _answer(self, caller: _Caller) -> None:
        words = caller.head.split(b"\r\n", 1)[0].split(b" ")
        method, path = words[0], (words[1] if len(words) > 1 else b"").partition(b"?")[0]
        with contextlib.suppress(OSError):
            caller.connection.send(answer(method, path))
        # Closing at once, with bytes of the request unread, would reset the connection before the answer is read.
        caller.head, caller.answered, caller.until = b"", True, time.monotonic() + _LINGER_SECONDS
        with contextlib.suppress(OSError, ValueError):
            if self._tls is None:
                caller.connection.shutdown(socket.SHUT_WR)
            else:
                caller.connection.unwrap()  # type: ignore[attr-defined]  # says so, and does not wait to hear it back

    def _end(self, caller: _Caller) -> None:
        del self._callers[caller.connection.fileno()]
        caller.connection.close()


def answer(method: bytes, path: bytes) -> bytes:
    """The answer to a request while no worker is there to give one."""
    status, body = 503, b'{"error":"the models are still being loaded"}'
    if path in (b"/v2/health/live", b"/healthz"):
        status, body = 200, b'{"live":true}'
    elif path in (b"/v2/health/ready", b"/readyz"):
        body = b'{"ready":false}'
    lines = [
        f"HTTP/1.1 {status} {_STATUS[status]}",
        f"date: {http_date().decode()}",
        "content-type: application/json",
        f"content-length: {len(body)}",
        "connection: close",
    ]
    if status == 503:
        lines.append("retry-after: 1")
    return "\r\n".join([*lines, "", ""]).encode() + (b"" if method == b"HEAD" else body)


def _waits(error: OSError) -> bool:
    """Whether it only says that nothing has come yet."""
    return isinstance(error, BlockingIOError) or type(error).__name__ in ("SSLWantReadError", "SSLWantWriteError")


def ready(sources: Sequence[int], seconds: float | None) -> list[int]:
    """Those of the descriptors that can be read, once one can be or the time is over."""
    return select.select(sources, [], [], seconds)[0]

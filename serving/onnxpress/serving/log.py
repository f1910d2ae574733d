"""What the server has to say, on stderr: it waits for no reader, and what cannot be written is counted and lost.

A disk that is full, a stderr that is closed, a reader that has gone or does not read are no reason to answer nobody. So
everything that serves says what it has to say here, and nothing of it raises or blocks. What a slow reader has not
taken waits in memory, up to a bound; what is beyond is dropped, and the number of lines is told in the next one that
can be written, and in `/metrics`.
"""

from __future__ import annotations

import contextlib
import os
import select
import stat
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Literal

Form = Literal["plain", "timed", "json"]
"""how a line of the log looks"""
_KEPT = 256 << 10
"""bytes that wait for a slow reader"""
_PIECE = 4096
"""bytes that a pipe takes whole or not at all, and has room for when it says that it has any"""


class Log:
    """Lines for one descriptor, from any thread."""

    def __init__(self, descriptor: int, kept: int = _KEPT) -> None:
        self.dropped = 0
        """lines that could not be written"""
        self._own: list[Callable[[], None]] = []  # how what was opened is closed
        self._write = _writing(descriptor, self._own)
        self._bound, self._kept, self._untold = kept, 0, 0
        self._waiting: deque[bytes] = deque()
        self._lock = threading.Lock()

    def write(self, text: str) -> None:
        """These lines, each with its end, now or as soon as the reader takes them."""
        data = text.encode("utf-8", "replace")
        with self._lock:
            self._push()
            if not self._waiting and self._untold:
                told = b"%d lines of the log could not be written and are lost\n" % self._untold
                if self._put(told):
                    self._untold = 0
            if self._untold or not self._put(data):
                self._lose(1)

    def flush(self) -> None:
        """Write of what waits as much as the reader takes now."""
        if self._waiting:
            with self._lock:
                self._push()

    def close(self) -> None:
        """Let go of the descriptor; what waits is lost."""
        with self._lock:
            self._lose(len(self._waiting))
            self._waiting.clear()
            self._write = _nowhere
            for close in self._own:
                close()

    def _put(self, data: bytes) -> bool:
        """Write this behind what waits, or let it wait; False where it is lost."""
        while data and not self._waiting:
            try:
                written = self._write(data[:_PIECE])
            except BlockingIOError:
                break
            except OSError:  # full, closed, gone
                return False
            data = data[written:]
        if data:
            if self._kept + len(data) > self._bound:
                return False
            self._waiting.append(data)
            self._kept += len(data)
        return True

    def _push(self) -> None:
        while self._waiting:
            data = self._waiting[0]
            try:
                written = self._write(data[:_PIECE])
            except BlockingIOError:
                return
            except OSError:
                self._lose(len(self._waiting))
                self._waiting.clear()
                self._kept = 0
                return
            self._kept -= written
            if written < len(data):
                self._waiting[0] = data[written:]
            else:
                self._waiting.popleft()

    def _lose(self, lines: int) -> None:
        self.dropped += lines
        self._untold += lines


def _writing(descriptor: int, opened: list[Callable[[], None]]) -> Callable[[bytes], int]:
    """How bytes are written there without waiting: how many were taken. Raises OSError, BlockingIOError among them.

    A description of one's own is what it takes: the one that stderr has is shared with whoever started the server, who
    does not expect his terminal to be non-blocking.
    """
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return _nowhere
    if stat.S_ISSOCK(mode):
        import socket  # systemd's journal, say

        end = socket.socket(fileno=os.dup(descriptor))
        opened.append(end.close)
        flags = getattr(socket, "MSG_DONTWAIT", 0) | getattr(socket, "MSG_NOSIGNAL", 0)
        return lambda data: end.send(data, flags)
    if sys.platform == "linux" and (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
        with contextlib.suppress(OSError):  # another user's, for whom this one writes
            own = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
            opened.append(partial(os.close, own))
            return partial(os.write, own)
    if stat.S_ISREG(mode) or not hasattr(select, "poll"):
        return partial(os.write, descriptor)
    room = select.poll()
    room.register(descriptor, select.POLLOUT)

    def write(data: bytes) -> int:
        if not room.poll(0):
            raise BlockingIOError
        return os.write(descriptor, data)

    return write


def _nowhere(data: bytes) -> int:
    raise OSError("there is no stderr")


_log: Log | None = None


def _stderr() -> Log:
    global _log
    if _log is None:
        _log = Log(2 if sys.__stderr__ is not None else -1)
    return _log


def write(text: str) -> None:
    """Write lines that have their ends already. Raises nothing."""
    stream = sys.stderr
    if stream is None or stream is sys.__stderr__:
        _stderr().write(text)
        return
    # Whoever put another stream there wants to have what is said.
    try:
        stream.write(text)
    except (OSError, ValueError):
        _stderr().dropped += 1


def say(message: str) -> None:
    """Write one line, in the form that `speak` was told. Raises nothing."""
    write(f"{_formed(message)}\n")


def speak(form: Form) -> None:
    """Write what is said from now on in this form: `plain`, `timed` with the time (UTC) before it, `json`."""
    global _formed
    _formed = _FORMS[form]


def _now() -> str:
    seconds, nanoseconds = divmod(time.time_ns(), 10**9)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{nanoseconds // 10**6:03d}Z"


def _timed(message: str) -> str:
    return f"{_now()} {message}"


def _json(message: str) -> str:
    import json  # few ask for it

    return json.dumps({"time": _now(), "message": message}, ensure_ascii=False)


_FORMS: dict[Form, Callable[[str], str]] = {"plain": str, "timed": _timed, "json": _json}
_formed = _FORMS["plain"]


def flush() -> None:
    """Write what waits for a slow reader, as far as that is possible now."""
    if _log is not None:
        _log.flush()


def dropped() -> int:
    """Lines that could not be written since the start."""
    return 0 if _log is None else _log.dropped


def keep_descriptors() -> None:
    """Put the null device where stdin, stdout or stderr is closed: the next file or connection would get its number.

    And what a library writes to stderr then, as ONNX Runtime does, would be sent to a caller.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free

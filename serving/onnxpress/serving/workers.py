"""Several worker processes on one port, and the supervisor that keeps them there.

Every place has a listening socket of its own (SO_REUSEPORT: the kernel spreads connections over them), which the
supervisor keeps open. So when a worker dies, what was waiting to be accepted waits for the next worker of that place,
and in a rolling restart the old and the new worker accept from the same queue: no connection is refused in between.

The supervisor forks before anything heavy is imported and runs no model itself.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

import msgspec

from onnxpress.core.errors import UsageError
from onnxpress.serving import log
from onnxpress.serving.settings import Address, ServerSettings

_BACKLOG = 2048
_RETRY_SECONDS = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""before a worker is started again: by how often in a row it ended young"""
_YOUNG_SECONDS = 5.0
_LAST_RESORT_SECONDS = 5.0
"""past the grace time, workers that are still there are killed"""


class Worker(msgspec.Struct):
    """What `supervise` returns in a worker process."""

    socket: socket.socket
    """to accept from"""
    parent: int
    """a descriptor that becomes readable when the supervisor is gone"""
    first: bool
    """the one that speaks for all while they start"""
    _ready: int

    def say_ready(self) -> None:
        """Tell the supervisor that this worker answers."""
        os.write(self._ready, b"1")
        os.close(self._ready)


class _Child(msgspec.Struct, eq=False):
    """A worker process as the supervisor sees it; `ready_pipe` is None once it has said so."""

    pid: int
    place: int
    ready_pipe: int | None
    started: float
    answered: bool = False
    leaving: bool = False
    """told to finish, so that another signal would cut it short"""


class _Supervisor:
    def __init__(self, sockets: list[socket.socket], settings: ServerSettings, on_ready: Callable[[str], None]) -> None:
        self._sockets, self._on_ready = sockets, on_ready
        self._grace = settings.limits.grace
        self._scheme = "http" if settings.address.tls_certificate is None else "https"
        self._children: dict[int, _Child] = {}
        self._current: list[_Child | None] = [None] * len(sockets)
        self._retries = [0] * len(sockets)
        self._due: dict[int, float] = {}
        """place → when its next worker is to be started"""
        self._rolling: list[int] = []
        """places still to be restarted; the first is under way"""
        self._announced = False
        self._killing: float | None = None
        self._code = 0
        self._alive = os.pipe()
        self._wakeup = socket.socketpair()

    def run(self) -> Worker | int:
        """In a worker: its Worker. In the supervisor: the exit code, once every worker has ended."""
        for end in self._wakeup:
            end.setblocking(False)
        signal.set_wakeup_fd(self._wakeup[1].fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        for place in range(len(self._sockets)):
            worker = self._start(place)
            if worker is not None:
                return worker
        while self._children or (self._due and not self._stopping):
            worker = self._turn()
            if worker is not None:
                return worker
        return self._code

    @property
    def _stopping(self) -> bool:
        return self._killing is not None

    def _start(self, place: int) -> Worker | None:
        """Fork a worker for `place`; returns its Worker in the new process, None in the supervisor."""
        ready_read, ready_write = os.pipe()
        log.flush()
        pid = os.fork()
        if pid == 0:
            return self._become_worker(place, ready_read, ready_write)
        os.close(ready_write)
        self._children[pid] = _Child(pid, place, ready_read, time.monotonic())
        if self._current[place] is None:
            self._current[place] = self._children[pid]
        return None

    def _become_worker(self, place: int, ready_read: int, ready_write: int) -> Worker:
        signal.set_wakeup_fd(-1)
        for ours in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(ours, signal.SIG_DFL)
        # A hang-up is for the supervisor; a terminal sends it to the whole group.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        os.close(ready_read)
        # With the write end closed here too, only the supervisor holds it open: its end is the supervisor's end.
        os.close(self._alive[1])
        for child in self._children.values():
            if child.ready_pipe is not None:
                os.close(child.ready_pipe)
        for end in self._wakeup:
            end.close()
        for number, listener in enumerate(self._sockets):
            if number != place:
                listener.close()
        return Worker(self._sockets[place], self._alive[0], place == 0 and not self._announced, ready_write)

    def _turn(self) -> Worker | None:
        """Wait for signals, ready workers or a due start, and do what they ask for."""
        waiting: dict[Any, _Child] = {
            child.ready_pipe: child for child in self._children.values() if child.ready_pipe is not None
        }
        times = [*self._due.values()] + ([self._killing] if self._killing is not None else [])
        timeout = max(0.0, min(times) - time.monotonic()) if times else None
        readable, _, _ = select.select([self._wakeup[0], *waiting], [], [], timeout)
        for source in readable:
            if source is self._wakeup[0]:
                for number in self._wakeup[0].recv(4096):
                    self._signal(number)
            else:
                self._ready(waiting[source])
        self._reap()
        now = time.monotonic()
        if self._killing is not None and now >= self._killing:
            self._send(signal.SIGKILL)
            self._killing = now + _LAST_RESORT_SECONDS
        for place in [place for place, due in self._due.items() if due <= now and not self._stopping]:
            del self._due[place]
            worker = self._start(place)
            if worker is not None:
                return worker
        return None

    def _signal(self, number: int) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            self._stop()
        elif number == signal.SIGHUP and self._announced and not self._stopping and not self._rolling:
            log.say(f"rolling restart of {len(self._sockets)} workers")
            self._rolling = list(range(len(self._sockets)))
            self._due[self._rolling[0]] = 0.0

    def _stop(self) -> None:
        """Pass the signal on: the first makes workers drain, a second cuts them short."""
        again = self._stopping
        self._rolling = []
        self._due = {}
        self._killing = time.monotonic() + self._grace + _LAST_RESORT_SECONDS
        for child in self._children.values():
            # One that a rolling restart replaced drains already: the first signal to all must not be its second.
            if again or not child.leaving:
                child.leaving = True
                os.kill(child.pid, signal.SIGTERM)

    def _send(self, number: signal.Signals) -> None:
        for pid in self._children:
            os.kill(pid, number)

    def _ready(self, child: _Child) -> None:
        """A worker wrote to its pipe, or closed it by ending; only the first means that it answers."""
        assert child.ready_pipe is not None
        answers = os.read(child.ready_pipe, 1) != b""
        os.close(child.ready_pipe)
        child.ready_pipe = None
        if not answers:
            return
        child.answered = True
        self._retries[child.place] = 0
        if self._announced:
            log.say(f"worker {child.pid} answers, {time.monotonic() - child.started:.2f} s after it was started")
        old = self._current[child.place]
        if old is not None and old is not child:
            # The new worker accepts from the same socket already; the old one finishes what it has.
            self._current[child.place] = child
            old.leaving = True
            os.kill(old.pid, signal.SIGTERM)
            self._next_roll()
        current = [child for child in self._current if child is not None and child.ready_pipe is None]
        if not self._announced and len(current) == len(self._sockets):
            self._announced = True
            address = self._sockets[0].getsockname()
            shown = f"[{address[0]}]" if ":" in address[0] else address[0]
            self._on_ready(f"{self._scheme}://{shown}:{address[1]}")

    def _next_roll(self) -> None:
        self._rolling = self._rolling[1:]
        if self._rolling:
            self._due[self._rolling[0]] = 0.0
        else:
            log.say("rolling restart done")

    def _reap(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            child = self._children.pop(pid)
            if child.ready_pipe is not None:
                os.close(child.ready_pipe)
            self._ended(child, os.waitstatus_to_exitcode(status))

    def _ended(self, child: _Child, code: int) -> None:
        if self._stopping:
            # One that was still starting handles no signal yet. It had answered nobody, and so lost nothing.
            well = code == 0 or (code == -signal.SIGTERM and not child.answered)
            self._code = max(self._code, 0 if well else 1)
            return
        if not self._announced:
            # A worker that cannot start says why itself; the others would say the same.
            self._code = 1
            self._stop()
            return
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        if self._current[child.place] is not child:
            if child.place in self._rolling[:1] and code != 0:
                log.say(f"the new worker {child.pid} {how}: rolling restart broken off, the old workers go on")
                self._rolling = []
            return
        self._current[child.place] = None
        young = time.monotonic() - child.started < _YOUNG_SECONDS
        self._retries[child.place] = min(self._retries[child.place] + 1, len(_RETRY_SECONDS) - 1) if young else 0
        delay = _RETRY_SECONDS[self._retries[child.place]]
        log.say(f"worker {child.pid} {how}; another is started" + (f" in {delay:g} s" if delay else ""))
        self._due[child.place] = time.monotonic() + delay


def supervise(settings: ServerSettings, on_ready: Callable[[str], None]) -> Worker:
    """Listen, fork the workers, and return in each of them; the supervisor itself exits here when all ended.

    `on_ready` gets the URL in the supervisor, once every worker answers. SIGTERM and SIGINT end all workers (a second
    one cuts short), SIGHUP restarts them one after another. Raises UsageError where the port cannot be had.
    """
    if not hasattr(os, "fork") or not hasattr(socket, "SO_REUSEPORT"):
        raise UsageError("several workers need fork and SO_REUSEPORT, which this system has not", hint="--workers 1")
    sockets = _listen(settings.address, settings.processes.workers)
    found = _Supervisor(sockets, settings, on_ready).run()
    if not isinstance(found, Worker):
        raise SystemExit(found)
    return found


def _listen(at: Address, count: int) -> list[socket.socket]:
    """`count` sockets on one port; port 0 is chosen by the first."""
    sockets: list[socket.socket] = []
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(at.host, at.port, type=socket.SOCK_STREAM)[0]
        # SO_REUSEPORT would silently share a port that somebody else of the same user listens on.
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
        for _ in range(count):
            listener = socket.socket(family, kind, protocol)
            sockets.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.bind(address)
            address = listener.getsockname()
            listener.listen(_BACKLOG)
    except OSError as error:
        for listener in sockets:
            listener.close()
        hint = "choose another --port, or 0 for a free one"
        raise UsageError(f"cannot listen on {at.host}:{at.port}: {error.strerror}", hint=hint) from error
    return sockets

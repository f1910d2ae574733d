"""Several worker processes on one port, and the supervisor that keeps them there.

All workers that are ready accept from the same sockets, which the supervisor opened: whoever has time takes the next
connection, and none waits for a worker that was killed, still loads or is leaving. (With a socket for each worker, by
SO_REUSEPORT, the kernel goes on to give connections to a worker that does not take them.) While no worker is ready the
supervisor answers itself, see `stand_in`; how the workers share, see `loads`.

The supervisor forks before anything heavy is imported and runs no model itself.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from onnxpress.core.errors import UsageError
from onnxpress.serving import log, sockets, stand_in
from onnxpress.serving.loads import Loads, Share
from onnxpress.serving.settings import ServerSettings

_RETRY_SECONDS = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""before a worker is started again: by how often in a row it ended young"""
_YOUNG_SECONDS = 5.0
_TOLD = (0, -signal.SIGTERM, -signal.SIGINT, -getattr(signal, "SIGKILL", signal.SIGTERM))
"""exit codes of a worker that somebody ended, and that could have started"""
CUT = getattr(signal, "SIGUSR1", signal.SIGTERM)
"""what a worker is sent in place of a second SIGTERM. A terminal, or a `kill` of the whole group, sends each signal to
workers too, which get the supervisor's beside it: SIGTERM twice must not cut them short"""
_AT_ONCE = 16
"""processes of one place that may be there at once: restarted again and again, while each takes its grace time"""
_LAST_RESORT_SECONDS = 3.0
"""past the grace time, workers that are still there are killed"""


class Worker(msgspec.Struct):
    """What `supervise` returns in a worker process."""

    sockets: list[socket.socket]
    """to accept from, once it is ready"""
    share: Share
    """of all connections"""
    parent: int
    """a descriptor that becomes readable when the supervisor is gone"""
    first: bool
    """the one that speaks for all while they start"""
    later: bool
    """it takes the place of another: whoever asks finds workers that have loaded everything"""
    _ready: int
    cut: int = CUT
    """the signal that cuts it short"""

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
    share: int
    """its place among the loads"""
    answered: bool = False
    leaving: bool = False
    """told to finish, so that another signal would cut it short"""


class _Retries:
    """How often in a row a worker of each place ended young, or could not be started."""

    def __init__(self, places: int) -> None:
        self._counts = [0] * places

    def next(self, place: int) -> float:
        """It happened once more; seconds until the next worker."""
        self._counts[place] = min(self._counts[place] + 1, len(_RETRY_SECONDS) - 1)
        return _RETRY_SECONDS[self._counts[place]]

    def reset(self, place: int) -> float:
        """One answered; seconds until the next one, should it end."""
        self._counts[place] = 0
        return _RETRY_SECONDS[0]


class _Supervisor:
    def __init__(
        self, listeners: list[socket.socket], settings: ServerSettings, on_ready: Callable[[str], None]
    ) -> None:
        self._sockets, self._address, self._on_ready = listeners, settings.address, on_ready
        self._stand_in = stand_in.StandIn(listeners, _tls_of(settings))
        self._limits = settings.limits
        # Of a worker that is restarted there are two for a while, and more where old ones take long to finish.
        self._loads = Loads(_AT_ONCE * settings.processes.workers)
        self._children: dict[int, _Child] = {}
        self._current: list[_Child | None] = [None] * settings.processes.workers
        self._retries = _Retries(settings.processes.workers)
        self._due: dict[int, float] = {}
        """place → when its next worker is to be started"""
        self._rolling: list[int] = []
        """places still to be restarted; the first is under way"""
        self._announced = False
        self._closing: float | None = None
        """when new callers are to be refused"""
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
        for place in range(len(self._current)):
            worker = self._start(place)
            if worker is not None:
                return worker
        while self._children or (self._due and not self._stopping):
            worker = self._turn()
            if worker is not None:
                return worker
        self._refuse_callers()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)  # all that is left is to leave, with this exit code
        return self._code

    @property
    def _stopping(self) -> bool:
        return self._killing is not None

    @property
    def _answered(self) -> bool:
        """Whether a worker accepts connections."""
        return any(child is not None and child.answered for child in self._current)

    def _start(self, place: int) -> Worker | None:
        """Fork a worker for `place`; returns its Worker in the new process, None in the supervisor."""
        share = self._loads.take()
        # A signal that comes to the new process while the handlers are still ours would be told to this one.
        ours = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, CUT)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ours)
        try:
            try:
                pid, ready_read, ready_write = _fork()
            except OSError as error:  # no descriptor, memory or process to spare
                self._loads.give_back(share)
                self._not_started(place, error)
                return None
            if pid == 0:
                return self._become_worker(place, share, ready_read, ready_write)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(ready_write)
        self._children[pid] = _Child(pid, place, ready_read, time.monotonic(), share)
        if self._current[place] is None:
            self._current[place] = self._children[pid]
        return None

    def _not_started(self, place: int, error: OSError) -> None:
        """Try again later: what is short now need not be then. At the start it is said, and that is the end."""
        said = f"a worker cannot be started: {error.strerror or error}"
        if not self._announced:
            log.say(said)
            self._code = 1
            self._stop()
            return
        delay = self._retries.next(place)
        log.say(f"{said}; it is tried again in {delay:g} s")
        self._due[place] = time.monotonic() + delay

    def _become_worker(self, place: int, share: int, ready_read: int, ready_write: int) -> Worker:
        signal.set_wakeup_fd(-1)
        for ours in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, CUT):
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
        self._stand_in.close()
        first = place == 0 and not self._announced
        return Worker(self._sockets, self._loads.share(share), self._alive[0], first, self._announced, ready_write)

    def _turn(self) -> Worker | None:
        """Wait for signals, ready workers, callers or a due start, and do what they ask for."""
        waiting: dict[int, _Child] = {
            child.ready_pipe: child for child in self._children.values() if child.ready_pipe is not None
        }
        callers = self._stand_in.sources(accepting=not self._answered and not self._stopping)
        times = [*self._due.values(), self._killing, self._closing, self._stand_in.until]
        due = min((at for at in times if at is not None), default=None)
        timeout = None if due is None else max(0.0, due - time.monotonic())
        readable = stand_in.ready([self._wakeup[0].fileno(), *waiting, *callers], timeout)
        self._take_signals()
        for source in readable:
            if source in waiting:
                self._ready(waiting[source])
        self._stand_in.serve([source for source in readable if source in callers])
        self._reap()
        now = time.monotonic()
        if self._closing is not None and (now >= self._closing or not self._answered):
            self._refuse_callers()
        if self._killing is not None and now >= self._killing:
            self._send(signal.SIGKILL)
            self._killing = now + _LAST_RESORT_SECONDS
        for place in [place for place, due in self._due.items() if due <= now and not self._stopping]:
            del self._due[place]
            worker = self._start(place)
            if worker is not None:
                return worker
        return None

    def _take_signals(self) -> None:
        with suppress(BlockingIOError):
            for number in self._wakeup[0].recv(4096):
                self._signal(number)

    def _signal(self, number: int) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            self._stop()
        elif number == signal.SIGHUP and self._announced and not self._stopping and not self._rolling:
            log.say(f"rolling restart of {len(self._current)} workers")
            self._rolling = list(range(len(self._current)))
            self._due[self._rolling[0]] = 0.0

    def _stop(self) -> None:
        """Pass the signal on: the first makes workers drain, a second cuts them short."""
        again = self._stopping
        self._rolling = []
        self._due = {}
        now = time.monotonic()
        delay = 0.0 if again else self._limits.drain_delay
        self._closing = now + delay if self._sockets else None
        self._killing = now + (0.0 if again else delay + self._limits.grace) + _LAST_RESORT_SECONDS
        for child in self._children.values():
            # One that a rolling restart replaced drains already: the first signal to all must not be its second.
            if again or not child.leaving:
                child.leaving = True
                os.kill(child.pid, CUT if again else signal.SIGTERM)

    def _refuse_callers(self) -> None:
        """Listen no more. What the workers have of the sockets they close themselves."""
        self._closing = None
        self._stand_in.close()
        for listener in self._sockets:
            listener.close()
        self._sockets.clear()

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
        self._retries.reset(child.place)
        if self._announced:
            log.say(f"worker {child.pid} answers, {time.monotonic() - child.started:.2f} s after it was started")
        old = self._current[child.place]
        if old is not None and old is not child:
            # The new worker accepts already; the old one finishes what it has.
            self._current[child.place] = child
            old.leaving = True
            os.kill(old.pid, signal.SIGTERM)
            self._next_roll()
        current = [child for child in self._current if child is not None and child.ready_pipe is None]
        if not self._announced and not self._stopping and len(current) == len(self._current):
            self._announced = True
            self._on_ready(sockets.url(self._address, self._sockets))

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
            self._take_signals()  # where all are told to end, this process was told so before a worker could obey
            child = self._children.pop(pid)
            self._loads.give_back(child.share)
            if child.ready_pipe is not None:
                os.close(child.ready_pipe)
            self._ended(child, os.waitstatus_to_exitcode(status))

    def _ended(self, child: _Child, code: int) -> None:
        if self._stopping:
            # One that was still starting handles no signal yet. It had answered nobody, and so lost nothing.
            if self._current[child.place] is child:
                self._current[child.place] = None
            well = code == 0 or (code in (-signal.SIGTERM, -signal.SIGINT, -CUT) and not child.answered)
            self._code = max(self._code, 0 if well else 1)
            return
        if not self._announced and code not in _TOLD:
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
        delay = self._retries.next(child.place) if young else self._retries.reset(child.place)
        log.say(f"worker {child.pid} {how}; another is started" + (f" in {delay:g} s" if delay else ""))
        self._due[child.place] = time.monotonic() + delay


def supervise(settings: ServerSettings, on_ready: Callable[[str], None]) -> Worker:
    """Listen, fork the workers, and return in each of them; the supervisor itself exits here when all ended.

    `on_ready` gets the URL in the supervisor, once every worker answers. SIGTERM and SIGINT end all workers (a second
    one cuts short), SIGHUP restarts them one after another. Raises UsageError where the port cannot be had.
    """
    if not hasattr(os, "fork"):
        raise UsageError("several workers need fork, which this system has not", hint="--workers 1")
    # Before the first worker is there: callers are answered from the first moment on.
    listeners = sockets.listening(settings.address)
    found = _Supervisor(listeners, settings, on_ready).run()
    if not isinstance(found, Worker):
        raise SystemExit(found)
    return found


def _fork() -> tuple[int, int, int]:
    """Fork, with a pipe in between: as `os.fork`, and the ends to read and to write. Raises OSError."""
    ready_read, ready_write = os.pipe()
    log.flush()
    try:
        return os.fork(), ready_read, ready_write
    except OSError:
        os.close(ready_read)
        os.close(ready_write)
        raise


def _tls_of(settings: ServerSettings) -> Callable[[], Any] | None:
    if settings.address.tls_certificate is None:
        return None

    def context() -> Any:
        from onnxpress.serving import tls

        return tls.context_of(settings.address)

    return context

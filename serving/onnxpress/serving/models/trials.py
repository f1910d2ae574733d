"""Versions tried in another process before they are loaded here: one that ends its process must not end the server.

A file can make the runtime trap while it folds constants, or abort in a golden sample. No exception comes of that. So
where there are several versions a copy of this process (fork, some milliseconds) goes ahead through the same versions
and says of each when it begins and when it came out alive. This process follows one version behind. With a second CPU
the start is hardly later, and of memory there is never more than at the end.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from onnxpress.serving.models.folder import signature
from onnxpress.serving.parent_death import end_with_parent

_BEGUN, _DONE = b"?", b"="
_SECONDS, _BYTES_PER_SECOND = 60.0, 20e6
"""how long one version may take: so long, and for its files as long as a slow disk needs to read them"""


Around = Callable[[Path, Callable[[], object]], None]
"""the model's file, and what loads it"""


class Trials:
    """What goes ahead. `plan` is called in the copy, with a function that it wraps around every load."""

    def __init__(self, plan: Callable[[Around], None]) -> None:
        self._plan = plan
        self._pid = 0
        self._pipe = -1
        self._rest = b""
        self._begun: set[bytes] = set()
        self._done: set[bytes] = set()
        self._ended: dict[bytes, str] = {}
        """those that ended a copy, and how"""
        self._off = not hasattr(os, "fork")

    def begin(self) -> None:
        """Let the copy go ahead from the first version on."""
        if not self._off:
            self._start(None)

    def why_not(self, model: Path) -> str | None:
        """Wait until the copy has tried this version: None where it lives, else how it ended.

        None too where no copy can be made: then the load goes on without.
        """
        try:
            size = sum(size for _, size, _ in signature(model))
        except OSError:
            size = 0
        key = os.fsencode(model)
        for _ in range(2):
            if self._off or key in self._done:
                return None
            if key in self._ended:
                return self._ended[key]
            if not self._pid and not self._start(key):
                return None
            code = self._wait(key, time.monotonic() + _SECONDS + size / _BYTES_PER_SECOND)
            if key in self._done:
                return None
            if code is None:
                self._ended[key] = f"loading it takes more than {_SECONDS + size / _BYTES_PER_SECOND:.0f} s"
            elif key in self._begun:
                self._ended[key] = f"it ended the process that tried it, with {_how(code)}"
            else:
                # It ended at another version, or takes another course: a new one begins here.
                continue
            return self._ended[key]
        return None

    def close(self) -> None:
        """End the copy."""
        if self._pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            self._reap()

    def _start(self, first: bytes | None) -> bool:
        self._begun.clear()
        self._rest = b""
        try:
            reading, writing = os.pipe()
        except OSError:
            self._off = True
            return False
        try:
            with warnings.catch_warnings():
                # Python warns of threads. The copy has this one only, and touches nothing that the others hold.
                warnings.simplefilter("ignore", DeprecationWarning)
                pid = os.fork()
        except OSError:
            os.close(reading)
            os.close(writing)
            self._off = True
            return False
        if pid == 0:
            code = 1
            try:
                _alone(writing)
                self._go_ahead(writing, first)
                code = 0
            finally:
                os._exit(code)
        os.close(writing)
        self._pid, self._pipe = pid, reading
        return True

    def _go_ahead(self, pipe: int, first: bytes | None) -> None:
        """In the copy: every load of the plan, from the first one or the one that is asked for on."""
        begun = first is None

        def around(model: Path, load: Callable[[], object]) -> None:
            nonlocal begun
            key = os.fsencode(model)
            begun = begun or key == first
            if not begun or key in self._done or key in self._ended:
                return
            os.write(pipe, _BEGUN + key + b"\0")
            load()
            os.write(pipe, _DONE + key + b"\0")

        self._plan(around)

    def _wait(self, key: bytes, until: float) -> int | None:
        """Read what the copy says until it has tried this version, or ended: its exit code, None past the time."""
        while key not in self._done:
            left = until - time.monotonic()
            ready, _, _ = select.select([self._pipe], [], [], max(0.0, left))
            if not ready:
                self.close()
                return None
            said = os.read(self._pipe, 65536)
            if not said:
                return self._reap()
            *whole, self._rest = (self._rest + said).split(b"\0")
            for one in whole:
                (self._done if one[:1] == _DONE else self._begun).add(one[1:])
        return 0

    def _reap(self) -> int:
        os.close(self._pipe)
        _, status = os.waitpid(self._pid, 0)
        self._pid = 0
        return os.waitstatus_to_exitcode(status)


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {-code} ({signal.Signals(-code).name})"
    except ValueError:
        return f"signal {-code}"


def _alone(pipe: int) -> None:
    """Let the copy share nothing with the server: no socket, no signal, no terminal; and let it go first."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN if number == signal.SIGINT else signal.SIG_DFL)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    os.closerange(3, pipe)
    os.closerange(pipe + 1, os.sysconf("SC_OPEN_MAX"))
    end_with_parent()
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")  # where memory is short the kernel ends this process, not the server

"""A server started as a user starts it, with what it says and which processes and connections it has."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

ONNXPRESS = str(Path(sys.executable).parent / "onnxpress")
_TICKS = os.sysconf("SC_CLK_TCK")
_TCP_INODE = 9
"""the column of /proc/net/tcp"""


class Serving:
    """`onnxpress serve` in a process of its own; lines of its stderr are kept with the time they came."""

    def __init__(self, *arguments: str, command: Sequence[str] = (ONNXPRESS,)) -> None:
        self.process = subprocess.Popen(
            [*command, "serve", *arguments, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.said: list[tuple[float, str]] = []
        self.stopped: list[tuple[float, float]] = []
        """from when to when `kill` held a worker stopped"""
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        assert self.process.stdout is not None
        url = self.process.stdout.readline().strip()
        if not url:
            self.stop()
            raise SystemExit("the server did not start:\n" + "\n".join(line for _, line in self.said))
        self.port = int(url.rpartition(":")[2])

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append((time.monotonic(), line.rstrip()))

    def stop(self) -> None:
        """SIGTERM, and SIGKILL where that is not enough."""
        self.process.terminate()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._listener.join(5)
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()

    def post(self, target: str, body: bytes) -> bytes:
        """The body of the answer. Raises urllib.error.HTTPError for another status than 200."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{target}", body, timeout=60) as response:
            answer: bytes = response.read()
        return answer

    def get(self, target: str) -> bytes:
        """As post, without a body."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{target}", timeout=60) as response:
            answer: bytes = response.read()
        return answer

    def when_said(self, text: str, since: float, seconds: float = 30.0) -> float:
        """When a line with `text` came after `since` (time.monotonic); waits for it, at most `seconds`."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for at, line in list(self.said):
                if at >= since and text in line:
                    return at
            time.sleep(0.005)
        raise SystemExit(f"the server did not say {text!r} within {seconds:g} s; it said:\n{self.tail()}")

    def tail(self) -> str:
        """The last that it said."""
        return "\n".join(line for _, line in self.said[-20:])

    def workers(self) -> list[int]:
        """Process ids of the server's children."""
        listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True)
        return sorted(map(int, listed.stdout.split()))

    def kill(self, pid: int) -> tuple[float, set[int]]:
        """SIGKILL to a worker; returns when, and the clients' ports of the connections that it had accepted."""
        # Stopped first, so that it accepts nothing between the look at its connections and its end. The look takes
        # up to a tenth of a second where many connections are waiting for their last moment.
        begun = time.monotonic()
        os.kill(pid, signal.SIGSTOP)
        while _state(pid) != "T":
            time.sleep(0.001)
        ports = self._accepted(pid)
        os.kill(pid, signal.SIGKILL)
        killed = time.monotonic()
        self.stopped.append((begun, killed))
        return killed, ports

    def _accepted(self, pid: int) -> set[int]:
        inodes = set()
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                inodes.add(os.readlink(link).removeprefix("socket:[").removesuffix("]"))
        rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
        return {int(row[2].partition(":")[2], 16) for row in rows if row[_TCP_INODE] in inodes}

    def cpu_seconds(self) -> float:
        """User and system time of the server and its workers."""
        return sum(map(cpu_seconds, [self.process.pid, *self.workers()]))


def cpu_seconds(pid: int) -> float:
    """User and system time of one process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@contextlib.contextmanager
def serving(*arguments: str, command: Sequence[str] = (ONNXPRESS,)) -> Iterator[Serving]:
    """Serve with these arguments, on a free port."""
    server = Serving(*arguments, command=command)
    try:
        yield server
    finally:
        server.stop()

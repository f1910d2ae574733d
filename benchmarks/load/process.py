"""A server as a process on CPU 0, watched from outside; the callers run on CPU 1."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.serving.publishing import publish

from benchmarks.processes import resident

ONNXPRESS = str(Path(sys.executable).parent / "onnxpress")
_SERVE = (ONNXPRESS, "serve", "--port", "0")
_ASGI = (sys.executable, "-m", "benchmarks.load.asgi_host")


@dataclass
class Watched:
    """The running server."""

    process: subprocess.Popen[str]
    port: int

    @property
    def memory(self) -> int:
        """Resident bytes."""
        return resident(self.process.pid)

    @property
    def descriptors(self) -> int:
        """Open files and sockets."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    @property
    def alive(self) -> bool:
        """Whether it runs and says that it is live."""
        if self.process.poll() is not None:
            return False
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v2/health/live", timeout=20) as answer:
            return bool(answer.status == 200)


def publish_all(repository: Path, model: str, beside: Mapping[str, bytes]) -> None:
    """One of the tests' models, and those given beside it, each as a version."""
    publish(repository, model)
    for name, content in beside.items():
        publish(repository, name, content)


@contextlib.contextmanager
def watched(
    model: str, *options: str, beside: Mapping[str, bytes] | None = None, asgi: bool = False
) -> Iterator[Watched]:
    """Serve one of the tests' models, and those given; this process goes to CPU 1 meanwhile, where there is one.

    With `asgi` they are served by an ASGI application, in the smallest of hosts.
    """
    before = os.sched_getaffinity(0)
    first, *others = sorted(before)
    with tempfile.TemporaryDirectory() as folder:
        publish_all(Path(folder), model, beside or {})
        process = subprocess.Popen(
            ["taskset", "-c", str(first), *(_ASGI if asgi else _SERVE), folder, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            if not url:
                raise SystemExit("the server did not start")
            os.sched_setaffinity(0, others[:1] or [first])
            yield Watched(process, int(url.rpartition(":")[2]))
        finally:
            os.sched_setaffinity(0, before)
            process.terminate()
            process.wait(timeout=60)
            if process.stdout is not None:
                process.stdout.close()


def settled(server: Watched, descriptors: int, seconds: float = 10) -> int:
    """Open descriptors once connections that end have ended, or after so many seconds."""
    deadline = time.monotonic() + seconds
    while server.descriptors > descriptors and time.monotonic() < deadline:
        time.sleep(0.1)
    return server.descriptors

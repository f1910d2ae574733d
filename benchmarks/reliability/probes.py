"""How soon `/v2/health/live` is answered while a server begins, takes a model of 480 MiB in, and ends.

Each answer is told beside that of a bare asyncio server, a process that does nothing else, which the same thread asks
in turn: what makes both wait is the machine's, or this program's.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.serving.harness import Client, request
from tests.serving.onnx_models import publish_affine

from benchmarks.reliability import big_model
from benchmarks.server import ONNXPRESS, free_port

LIMIT_SECONDS = 0.05
LIVE = request("GET", "/v2/health/live", headers=["connection: close"])
_MODES: dict[str, Sequence[str]] = {"one process": (), "--isolate": ("--isolate",), "--workers 2": ("--workers", "2")}
_RELOADS = 3
_WAIT_SECONDS = 120.0
_BARE = """
import asyncio

class Answering(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):
        self.transport.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n")
        self.transport.close()

async def main():
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""
Probe = tuple[float, float]
"""when it was sent (time.monotonic), and the seconds to its answer"""


@contextlib.contextmanager
def bare() -> Iterator[int]:
    """The port of a server that answers whatever comes, and does nothing else."""
    with subprocess.Popen([sys.executable, "-c", _BARE], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


def ask(port: int) -> tuple[Probe, int]:
    """One probe on a connection of its own, and the status. Raises OSError, EOFError where there is no answer."""
    begun = time.monotonic()
    with Client(port) as client:
        client.send(LIVE)
        status = client.reply().status
    return (begun, time.monotonic() - begun), status


def told(probes: Sequence[Probe], apart: Sequence[tuple[float, float]] = ()) -> dict[str, float]:
    """Figures of the answers; those that were waited for within a span of `apart` are counted for themselves."""
    free, held = list[float](), list[float]()
    for begun, seconds in probes:
        within = any(begin < begun + seconds and begun < end for begin, end in apart)
        (held if within else free).append(seconds)
    free.sort()
    found = {
        "probes": len(free),
        "p50_ms": 1e3 * free[len(free) // 2],
        "p99_ms": 1e3 * free[int(len(free) * 0.99)],
        "longest_ms": 1e3 * free[-1],
        f"over_{1e3 * LIMIT_SECONDS:g}_ms": sum(one > LIMIT_SECONDS for one in free),
    }
    return found | ({"apart": len(held), "longest_of_those_ms": 1e3 * max(held, default=0.0)} if apart else {})


class _Probing:
    """A thread that asks both servers in turn until the one under test refuses connections, or it is stopped."""

    def __init__(self, port: int, bare_port: int) -> None:
        self.live: list[Probe] = []
        self.bare: list[Probe] = []
        self.other: list[str] = []
        """answers that are no 200, and connections that ended without one"""
        self._port, self._bare_port, self._stop = port, bare_port, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> _Probing:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)

    def _run(self) -> None:
        while not self._stop.wait(0.003):
            self.bare.append(ask(self._bare_port)[0])
            try:
                probe, status = ask(self._port)
            except ConnectionRefusedError:
                if self.live:
                    return
            except (OSError, EOFError) as error:
                self.other.append(type(error).__name__)
            else:
                self.live.append(probe)
                if status != 200:
                    self.other.append(str(status))


def measure(reloads: int = _RELOADS) -> dict[str, Any]:
    """In each mode: start with the large model, versions of it published one after another, and the end."""
    found = {}
    with tempfile.TemporaryDirectory() as name:
        spare = Path(name) / "spare"
        big_model.publish(spare)
        for mode, options in _MODES.items():
            models = Path(name) / mode.replace(" ", "-")
            publish_affine(models)
            shutil.copytree(spare, models, dirs_exist_ok=True)
            found[mode] = _one(models, spare, options, reloads)
            shutil.rmtree(models)
    return found


def _one(models: Path, spare: Path, options: Sequence[str], reloads: int) -> dict[str, Any]:
    port = free_port()
    command = [ONNXPRESS, "serve", str(models), "--port", str(port), "--poll", "0.2", "--drain-delay", "1", *options]
    with bare() as bare_port, _Probing(port, bare_port) as probing:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        try:
            _until(lines, "serving big version 1")
            for version in range(2, reloads + 2):
                draft = models / f".{version}"
                shutil.copytree(spare / "big" / "1", draft)
                draft.rename(models / "big" / str(version))
                _until(lines, f"serving big version {version}")
            process.send_signal(signal.SIGTERM)
            process.wait(_WAIT_SECONDS)
        finally:
            process.kill()
            process.wait()
            process.stderr.close()
    return {
        "live": told(probing.live), "bare": told(probing.bare), "other_answers": probing.other,
        "exit_code": process.returncode,
    }  # fmt: skip


def _until(lines: Iterator[str], text: str) -> None:
    said = []
    for line in lines:
        said.append(line)
        if text in line:
            return
    raise SystemExit(f"the server did not say {text!r}:\n{''.join(said)}")

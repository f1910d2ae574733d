"""Workers whose models take long to load are killed, whether they answer or still load, while callers keep coming.

Whoever comes is answered: by a worker, or by the supervisor that none is ready. Nobody is refused by the machine, and
nobody waits. Only a connection that the killed worker had accepted may be cut.

How soon the probe is answered is told beside a bare asyncio server, a process that does nothing else, which the same
thread asks in turn: what makes both wait is the machine's, or this program's.
"""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.serving.harness import Client, request
from tests.serving.onnx_models import publish_affine

from benchmarks.reliability.serving import Serving, serving

_AFFINE = "/v2/models/affine/infer"
_ZERO = b'{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[0,0,0]}]}'
_SLOW = Path(__file__).parents[2] / "tests" / "serving" / "slow_start.py"
_HANG_SECONDS = 2.0
_CALLERS = 4
_LIVE_SECONDS = 0.05
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


@contextlib.contextmanager
def _bare() -> Iterator[int]:
    """The port of a server that answers whatever comes, and does nothing else."""
    process = subprocess.Popen([sys.executable, "-c", _BARE], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


class _Callers:
    """Threads that ask on a new connection each time; every answer by kind, and how long it took."""

    def __init__(self, port: int, bare: int) -> None:
        self._port, self._bare, self._stop = port, bare, threading.Event()
        self._infer = request("POST", _AFFINE, _ZERO, ["connection: close"])
        self._live = request("GET", "/v2/health/live", headers=["connection: close"])
        self._lock = threading.Lock()
        self.kinds: Counter[str] = Counter()
        self.longest = 0.0
        self.live: list[tuple[float, float]] = []
        """when every probe was sent, and the seconds to its answer"""
        self.bare: list[tuple[float, float]] = []
        """the same of the bare server, asked in turn"""
        self.cut: list[tuple[float, int, str]] = []
        """when, from which port, and how"""
        self._threads = [threading.Thread(target=self._run, args=(number == 0,)) for number in range(_CALLERS)]

    def __enter__(self) -> _Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(90)

    def _run(self, probing: bool) -> None:
        while not self._stop.is_set():
            if probing:
                begun = time.monotonic()
                with Client(self._bare) as client:
                    client.send(self._live)
                    client.reply()
                self.bare.append((begun, time.monotonic() - begun))
            begun, port, kind = time.monotonic(), 0, ""
            try:
                with Client(self._port) as client:
                    port = client.socket.getsockname()[1]
                    client.send(self._live if probing else self._infer)
                    kind = f"{'live' if probing else 'infer'} {client.reply().status}"
            except ConnectionRefusedError:
                kind = "refused"
            except (OSError, EOFError) as error:
                kind = "cut"
                with self._lock:
                    self.cut.append((time.monotonic(), port, type(error).__name__))
            took = time.monotonic() - begun
            with self._lock:
                self.kinds[kind] += 1
                self.kinds["hang"] += took > _HANG_SECONDS
                self.longest = max(self.longest, took)
                if kind == "live 200":
                    self.live.append((begun, took))
            time.sleep(0.005)


def slow_loads(count: int = 100, load_seconds: float = 10.0, longest_pause: float = 6.0) -> dict[str, Any]:
    """`count` kills, one every `longest_pause` seconds at most; which worker, and when, is drawn by chance."""
    draw = random.Random(0)
    excused = 0
    killed: dict[str, int] = {"answering": 0, "loading": 0}
    command = [sys.executable, str(_SLOW), f"{load_seconds:g}"]
    with tempfile.TemporaryDirectory() as folder:
        publish_affine(Path(folder))
        with (
            _bare() as bare,
            serving(folder, "--workers", "2", command=command) as server,
            _Callers(server.port, bare) as callers,
        ):
            done = 0
            while done < count:
                time.sleep(draw.uniform(0.1, longest_pause))
                workers = server.workers()
                if not workers:
                    continue  # they ended young, and the next ones are due
                at, ports = _kill(server, draw.choice(workers))
                done += 1
                killed["answering" if ports is not None else "loading"] += 1
                time.sleep(0.05)
                excused += sum(when >= at - 1.0 and port in (ports or ()) for when, port, _ in callers.cut)
    cut = len(callers.cut)
    return {
        "kills": count,
        "load_seconds": load_seconds,
        "killed_while": killed,
        "answers": dict(callers.kinds),
        "cut": cut,
        "cut_on_the_killed_workers_connections": excused,
        "how": sorted({how for _, _, how in callers.cut}),
        "hang": callers.kinds["hang"],
        "refused": callers.kinds["refused"],
        "longest_s": callers.longest,
        "live": _told(callers.live, server.stopped),
        "bare": _told(callers.bare, server.stopped),
    }


def _told(probes: list[tuple[float, float]], stopped: list[tuple[float, float]]) -> dict[str, float]:
    """Those that came while this program held a worker stopped, to look at it before its end, are counted apart."""
    free, held = list[float](), list[float]()
    for begun, seconds in probes:
        meanwhile = any(begin < begun + seconds and begun < end for begin, end in stopped)
        (held if meanwhile else free).append(seconds)
    free.sort()
    return {
        "p50_ms": 1e3 * free[len(free) // 2],
        "p99_ms": 1e3 * free[int(len(free) * 0.99)],
        "longest_ms": 1e3 * free[-1],
        f"over_{1e3 * _LIVE_SECONDS:g}_ms": sum(one > _LIVE_SECONDS for one in free),
        "beside_a_stopped_worker": len(held),
        "longest_of_those_ms": 1e3 * max(held, default=0.0),
    }


def _kill(server: Serving, pid: int) -> tuple[float, set[int] | None]:
    """When, and the clients' ports of what it had accepted; None where it accepts nothing yet."""
    answers = any(f"worker {pid} answers" in line for _, line in list(server.said))
    at, ports = server.kill(pid)
    ports.discard(0)  # the listening socket's
    return at, ports if answers or ports else None

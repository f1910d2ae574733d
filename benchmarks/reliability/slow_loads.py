"""Workers whose models take long to load are killed, whether they answer or still load, while callers keep coming.

Whoever comes is answered: by a worker, or by the supervisor that none is ready. Nobody is refused by the machine, and
nobody waits. Only a connection that the killed worker had accepted may be cut.
"""

from __future__ import annotations

import random
import sys
import tempfile
import threading
import time
from collections import Counter
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


class _Callers:
    """Threads that ask on a new connection each time; every answer by kind, and how long it took."""

    def __init__(self, port: int) -> None:
        self._port, self._stop = port, threading.Event()
        self._infer = request("POST", _AFFINE, _ZERO, ["connection: close"])
        self._live = request("GET", "/v2/health/live", headers=["connection: close"])
        self._lock = threading.Lock()
        self.kinds: Counter[str] = Counter()
        self.longest = 0.0
        self.live: list[float] = []
        """seconds of every answer to the probe"""
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
                    self.live.append(took)
            time.sleep(0.005)


def slow_loads(count: int = 100, load_seconds: float = 10.0, longest_pause: float = 6.0) -> dict[str, Any]:
    """`count` kills, one every `longest_pause` seconds at most; which worker, and when, is drawn by chance."""
    draw = random.Random(0)
    excused = 0
    killed: dict[str, int] = {"answering": 0, "loading": 0}
    command = [sys.executable, str(_SLOW), f"{load_seconds:g}"]
    with tempfile.TemporaryDirectory() as folder:
        publish_affine(Path(folder))
        with serving(folder, "--workers", "2", command=command) as server, _Callers(server.port) as callers:
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
    live = sorted(callers.live)
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
        "live_p50_ms": 1e3 * live[len(live) // 2],
        "live_p99_ms": 1e3 * live[int(len(live) * 0.99)],
        "live_longest_ms": 1e3 * live[-1],
        f"live_over_{1e3 * _LIVE_SECONDS:g}_ms": sum(seconds > _LIVE_SECONDS for seconds in live),
    }


def _kill(server: Serving, pid: int) -> tuple[float, set[int] | None]:
    """When, and the clients' ports of what it had accepted; None where it accepts nothing yet."""
    answers = any(f"worker {pid} answers" in line for _, line in list(server.said))
    at, ports = server.kill(pid)
    ports.discard(0)  # the listening socket's
    return at, ports if answers or ports else None

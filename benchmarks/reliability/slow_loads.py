"""Workers whose models take long to load are killed, whether they answer or still load, while callers keep coming.

Whoever comes is answered: by a worker, or by the supervisor that none is ready. Nobody is refused by the machine, and
nobody waits. Only a connection that the killed worker had accepted may be cut.

How soon the probe is answered is told beside a bare server, see `probes`. What waited at a worker that this program
held stopped, to look at its connections before its end, is counted apart.
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

from benchmarks.reliability import probes
from benchmarks.reliability.serving import Serving, serving

_AFFINE = "/v2/models/affine/infer"
_ZERO = b'{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[0,0,0]}]}'
_SLOW = Path(__file__).parents[2] / "tests" / "serving" / "slow_start.py"
_CALLERS = 4


class _Callers:
    """Threads that ask on a new connection each time; every answer by kind, and how long it took."""

    def __init__(self, port: int, bare: int, hang_seconds: float) -> None:
        self._port, self._bare, self._stop = port, bare, threading.Event()
        self._hang_seconds = hang_seconds
        self._infer = request("POST", _AFFINE, _ZERO, ["connection: close"])
        self._lock = threading.Lock()
        self.kinds: Counter[str] = Counter()
        self.longest = 0.0
        self.live: list[probes.Probe] = []
        """when every probe was sent, and the seconds to its answer"""
        self.bare: list[probes.Probe] = []
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
                self.bare.append(probes.ask(self._bare)[0])
            begun, port, kind = time.monotonic(), 0, ""
            try:
                with Client(self._port) as client:
                    port = client.socket.getsockname()[1]
                    client.send(probes.LIVE if probing else self._infer)
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
                self.kinds["hang"] += took > self._hang_seconds
                self.longest = max(self.longest, took)
                if kind == "live 200":
                    self.live.append((begun, took))
            time.sleep(0.005)


def slow_loads(
    count: int = 100, load_seconds: float = 10.0, longest_pause: float = 6.0, hang_seconds: float = 2.0
) -> dict[str, Any]:
    """`count` kills, one every `longest_pause` seconds at most; which worker, and when, is drawn by chance.

    An answer that takes longer than `hang_seconds` is counted as one that hangs.
    """
    draw = random.Random(0)
    excused = 0
    killed: dict[str, int] = {"answering": 0, "loading": 0}
    command = [sys.executable, str(_SLOW), f"{load_seconds:g}"]
    with tempfile.TemporaryDirectory() as folder:
        publish_affine(Path(folder))
        with (
            probes.bare() as bare,
            serving(folder, "--workers", "2", command=command) as server,
            _Callers(server.port, bare, hang_seconds) as callers,
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
        "live": probes.told(callers.live, server.stopped),
        "bare": probes.told(callers.bare, server.stopped),
    }


def _kill(server: Serving, pid: int) -> tuple[float, set[int] | None]:
    """When, and the clients' ports of what it had accepted; None where it accepts nothing yet."""
    answers = any(f"worker {pid} answers" in line for _, line in list(server.said))
    at, ports = server.kill(pid)
    ports.discard(0)  # the listening socket's
    return at, ports if answers or ports else None

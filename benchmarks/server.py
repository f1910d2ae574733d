"""Requests per second of `onnxpress serve` against the bare loops in `floor/`: `python -m benchmarks.server`.

Every contender is a process of its own on CPU 0 with a tiny model of 32 features; wrk sends from CPU 1. They run in
turn, round by round, and the ratios are medians over the rounds. The CPU time per request stands beside: it moves less
than the rate when the machine does other work too.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from tests.serving.publishing import MODELS, publish

from benchmarks import machine

HERE = Path(__file__).parent
RECORDS = HERE / "records"
ONNXPRESS = str(Path(sys.executable).parent / "onnxpress")
REFERENCE = "bare loop"
CONCURRENCY = {1: 0.90, 16: 2.2, 64: 2.5}
"""connections → the ratio to the bare loop that is aimed at"""
_TICKS = os.sysconf("SC_CLK_TCK")


def main(rounds: int = 5, seconds: int = 2) -> None:
    """Measure, print, and write `records/<date>-server.json`."""
    if shutil.which("wrk") is None or shutil.which("taskset") is None or (os.cpu_count() or 1) < 2:
        raise SystemExit("this needs wrk, taskset and two CPUs")
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        publish(Path(folder), "tiny")
        model = str(MODELS / "tiny.onnx")
        ports = [_free_port() for _ in range(3)]
        commands = {
            REFERENCE: [sys.executable, str(HERE / "floor" / "bare_loop.py"), model, str(ports[0])],
            "bare loop, batched": [sys.executable, str(HERE / "floor" / "tick_loop.py"), model, str(ports[1])],
            "onnxpress serve": [ONNXPRESS, "serve", folder, "--port", str(ports[2])],
        }
        servers = {
            name: (stack.enter_context(_server(command, port)), port)
            for (name, command), port in zip(commands.items(), ports, strict=True)
        }
        figures = {}
        for clients in CONCURRENCY:
            measured: dict[str, list[tuple[float, float]]] = {name: [] for name in servers}
            for number in range(rounds):
                for name, (process, port) in servers.items():
                    measured[name].append(_load(process, port, clients, seconds))
                print(f"{clients} connections: round {number + 1} of {rounds}", file=sys.stderr, flush=True)
            figures[str(clients)] = {name: _summary(rows, measured[REFERENCE]) for name, rows in measured.items()}
    record = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.describe(),
        "requests": figures,
    }
    RECORDS.mkdir(exist_ok=True)
    path = RECORDS / f"{str(record['date'])[:10]}-server.json"
    path.write_text(json.dumps(record, indent=2) + "\n")
    print(f"{'connections':>11}  {'':20}{'requests/s':>11}{'ratio':>7}{'aim':>6}{'us CPU':>8}{'ratio':>7}")
    for clients, rows in figures.items():
        for name, row in rows.items():
            aim = f"{CONCURRENCY[int(clients)]:.2f}" if name == "onnxpress serve" else ""
            print(
                f"{clients:>11}  {name:20}{row['per_second']:>11.0f}{row['ratio']:>7.2f}{aim:>6}"
                f"{row['cpu_us']:>8.1f}{row['cpu_ratio']:>7.2f}"
            )
    print(f"\n{path.relative_to(HERE.parent)}")


@contextlib.contextmanager
def _server(command: list[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    environment = os.environ | {"ORT_DISABLE_TELEMETRY": "1"}
    process = subprocess.Popen(
        ["taskset", "-c", "0", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
    try:
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            if time.monotonic() > deadline or process.poll() is not None:
                raise SystemExit(f"{' '.join(command)} did not start")
            time.sleep(0.05)
        time.sleep(0.5)  # open is not ready: the model may still be loading
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)


def _load(process: subprocess.Popen[bytes], port: int, clients: int, seconds: int) -> tuple[float, float]:
    """Requests per second, and CPU seconds of the server per request."""
    command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "-s", str(HERE / "floor/post.lua")]
    before = _cpu_seconds(process.pid)
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{port}/"], check=True, capture_output=True, text=True, timeout=seconds + 30
    )
    used = _cpu_seconds(process.pid) - before
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise SystemExit(f"the server on port {port} failed:\n{done.stdout}")
    words = done.stdout.split()
    rate = float(words[words.index("Requests/sec:") + 1])
    requests = int(words[words.index("requests") - 1])
    return rate, used / requests


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _summary(rows: list[tuple[float, float]], reference: list[tuple[float, float]]) -> dict[str, float]:
    return {
        "per_second": statistics.median(rate for rate, _ in rows),
        "ratio": statistics.median(rate / base for (rate, _), (base, _) in zip(rows, reference, strict=True)),
        "cpu_us": statistics.median(cpu for _, cpu in rows) * 1e6,
        "cpu_ratio": statistics.median(base / cpu for (_, cpu), (_, base) in zip(rows, reference, strict=True)),
    }


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


if __name__ == "__main__":
    main()

"""Requests per second of `onnxpress serve` against the bare loops in `floor/`: `python -m benchmarks.server [MODEL]`.

MODEL is one of `networks`: tiny (the default), cnn or image. The server is the wheel that is built here, its hot path
compiled; beside it stands the checkout, interpreted. Every contender is a process of its own on CPU 0; wrk sends from
CPU 1. They run in turn, round by round, and the ratios are medians over the rounds. The CPU time per request stands
beside, which moves less than the rate when the machine does other work too, and so does the resident memory.
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
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from tests.serving.publishing import publish

from benchmarks import machine, networks, wheel
from benchmarks.processes import resident

HERE = Path(__file__).parent
RECORDS = HERE / "records"
ONNXPRESS = str(Path(sys.executable).parent / "onnxpress")
REFERENCE, BATCHED = "bare loop", "bare loop, batched"
SERVER, BINARY, INTERPRETED = "onnxpress serve", "onnxpress serve, binary", "the same, not compiled"
CEILING = "a fixed answer"
AIMS = {
    "tiny": {1: {SERVER: 0.90}, 16: {SERVER: 2.2}, 64: {SERVER: 2.5}},
    "cnn": {1: {SERVER: 0.97}, 16: {SERVER: 1.3}, 64: {SERVER: 1.3}},
    "image": {1: {SERVER: 2.0, BINARY: 10.0}},
}
"""model → connections → the ratio to the bare loop that is aimed at, with the same request but for binary"""
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Contender:
    """A running server, and what it is asked."""

    process: subprocess.Popen[bytes]
    port: int
    question: Path
    json_length: int | None = None


def main(model: str = "tiny", rounds: int = 5, seconds: int = 2) -> None:
    """Measure, print, and write `records/<date>-server[-<model>].json`."""
    if shutil.which("wrk") is None or shutil.which("taskset") is None or (os.cpu_count() or 1) < 2:
        raise SystemExit("this needs wrk, taskset and two CPUs")
    aims = AIMS[model]
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        contenders = _contenders(model, folder, stack, binary=any(BINARY in aim for aim in aims.values()))
        figures = {}
        for clients in aims:
            measured: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
            for number in range(rounds):
                for name, contender in contenders.items():
                    measured[name].append(asked(contender, model, clients, seconds))
                print(f"{clients} connections: round {number + 1} of {rounds}", file=sys.stderr, flush=True)
            figures[str(clients)] = {
                name: _summary(rows, measured[REFERENCE])
                | {"resident_mb": resident(contenders[name].process.pid) / 1e6}
                for name, rows in measured.items()
            }
    record = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.describe(),
        "model": model,
        "load_average": os.getloadavg()[0],
        "requests": figures,
    }
    RECORDS.mkdir(exist_ok=True)
    path = RECORDS / f"{str(record['date'])[:10]}-server{'' if model == 'tiny' else '-' + model}.json"
    path.write_text(json.dumps(record, indent=2) + "\n")
    print(f"{'connections':>11}  {'':24}{'requests/s':>11}{'ratio':>7}{'aim':>6}{'us CPU':>9}{'ratio':>7}{'MB':>7}")
    for clients, rows in figures.items():
        for name, row in rows.items():
            aim = aims[int(clients)].get(name)
            print(
                f"{clients:>11}  {name:24}{row['per_second']:>11.0f}{row['ratio']:>7.2f}"
                f"{'' if aim is None else format(aim, '.2f'):>6}{row['cpu_us']:>9.1f}{row['cpu_ratio']:>7.2f}"
                f"{row['resident_mb']:>7.1f}"
            )
    print(f"\n{path.relative_to(HERE.parent)}")


def _contenders(model: str, folder: Path, stack: contextlib.ExitStack, *, binary: bool) -> dict[str, Contender]:
    content = networks.build(model)
    file = folder / "bare.onnx"
    file.write_bytes(content)
    publish(folder / "models", model, content)
    values = np.random.default_rng(1).random(networks.SHAPES[model], np.float32)
    tensor = {"name": "x", "shape": list(values.shape), "datatype": "FP32"}
    question = folder / "question"
    numbers = [round(float(value), 6) for value in values.ravel()]
    question.write_text(json.dumps({"inputs": [{**tensor, "data": numbers}]}, separators=(",", ":")))
    names = [REFERENCE, BATCHED, SERVER, INTERPRETED]
    if model == "tiny":
        names.append(CEILING)  # the loop is what costs there
    ports = {name: free_port() for name in names}
    commands = {
        REFERENCE: [sys.executable, str(HERE / "floor" / "bare_loop.py"), str(file), str(ports[REFERENCE])],
        BATCHED: [sys.executable, str(HERE / "floor" / "tick_loop.py"), str(file), str(ports[BATCHED])],
        SERVER: ["env", f"PYTHONPATH={wheel.install(folder / 'wheel')}", *_serve(folder, ports[SERVER])],
        INTERPRETED: _serve(folder, ports[INTERPRETED]),
    }
    if CEILING in ports:
        commands[CEILING] = [sys.executable, str(HERE / "floor" / "fixed_loop.py"), str(ports[CEILING])]
    found = {
        name: Contender(stack.enter_context(running(command, ports[name])), ports[name], question)
        for name, command in commands.items()
    }
    if binary:
        with_size = {**tensor, "parameters": {"binary_data_size": values.nbytes}}
        text = json.dumps({"inputs": [with_size], "parameters": {"binary_data_output": True}}).encode()
        text = text.ljust(-len(text) % 8 + len(text))  # so that the values lie aligned
        (folder / "binary").write_bytes(text + values.tobytes())
        found[BINARY] = Contender(found[SERVER].process, ports[SERVER], folder / "binary", len(text))
    return found


def _serve(folder: Path, port: int) -> list[str]:
    return [ONNXPRESS, "serve", str(folder / "models"), "--port", str(port)]


@contextlib.contextmanager
def running(command: list[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A server on CPU 0 that listens there, ended afterwards."""
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


def asked(contender: Contender, model: str, clients: int, seconds: int) -> tuple[float, float]:
    """Requests per second, and CPU seconds of the server per request."""
    command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "-s", str(HERE / "question.lua")]
    environment = os.environ | {"QUESTION": str(contender.question), "TARGET": f"/v2/models/{model}/infer"}
    if contender.json_length is not None:
        environment["JSON_LENGTH"] = str(contender.json_length)
    process, port = contender.process, contender.port
    before = _cpu_seconds(process.pid)
    url = f"http://127.0.0.1:{port}/"
    done = subprocess.run(
        [*command, url], check=True, capture_output=True, text=True, timeout=seconds + 30, env=environment
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


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


if __name__ == "__main__":
    if len(sys.argv) > 2 or sys.argv[1:2] not in ([], *([model] for model in AIMS)):
        raise SystemExit(f"usage: python -m benchmarks.server [{'|'.join(AIMS)}]")
    main(*sys.argv[1:])

"""CPU time of the server for a small unary request: gRPC against JSON over HTTP/1.1, and against grpcio's server.

All are asked by h2load, from another CPU. What is held against each other is the CPU time of the server's process
alone, round by round, so that what else the machine does matters little.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tests.serving.publishing import publish

from benchmarks.load.cost import Meter
from benchmarks.load.process import watched
from onnxpress.serving.protocol.protobuf import field

REQUESTS, ROUNDS = 20_000, 5
INFER = "/inference.GRPCInferenceService/ModelInfer"
JSON, UNARY, MULTIPLEXED, AIO = "HTTP/1.1 JSON, 16", "gRPC, 16", "gRPC, 1 connection of 64", "grpcio aio, 16"
AIMS = {
    "gRPC at 16 connections <= 1.1 of JSON": (UNARY, JSON, 1.1),
    "multiplexed <= 0.5 of JSON": (MULTIPLEXED, JSON, 0.5),
    "grpcio aio >= 6 times gRPC": (UNARY, AIO, 1 / 6),
}
_AIO = Path(__file__).parent / "aio_server.py"


def questions(folder: Path) -> tuple[Path, Path]:
    """The same request as JSON, and as a gRPC message with its frame."""
    values = np.round(np.random.default_rng(1).random((1, 32), np.float32), 6)
    tensor = {"name": "x", "shape": [1, 32], "datatype": "FP32", "data": [round(float(one), 6) for one in values[0]]}
    as_json, as_message = folder / "question.json", folder / "question"
    as_json.write_text(json.dumps({"inputs": [tensor]}, separators=(",", ":")))
    described = field(1, b"x") + field(2, b"FP32") + field(3, b"\x01\x20")
    message = field(1, b"tiny") + field(5, described) + field(7, values.tobytes())
    as_message.write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
    return as_json, as_message


def asked(port: int, path: str, body: Path, count: int, *options: str) -> None:
    """Have h2load ask so many times; every answer must be a 200."""
    url = f"http://127.0.0.1:{port}{path}"
    command = ["h2load", "-t1", f"-n{count}", "-d", str(body), *options, url]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    if f"{count} 2xx" not in done.stdout or f"{count} succeeded" not in done.stdout:
        raise SystemExit(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")


@contextlib.contextmanager
def aio_server() -> Iterator[tuple[int, int]]:
    """Process and port of grpcio's server, on the CPU of the other."""
    cpu = min(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        publish(Path(folder), "tiny")
        command = ["taskset", "-c", str(cpu), sys.executable, str(_AIO), folder]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            yield process.pid, int(process.stdout.readline().strip().rpartition(":")[2])
        finally:
            process.terminate()
            process.wait(timeout=60)
            assert process.stdout is not None
            process.stdout.close()


def measure(requests: int = REQUESTS, rounds: int = ROUNDS) -> dict[str, Any]:
    """Microseconds of each contender, and their ratios."""
    if shutil.which("h2load") is None:
        raise SystemExit("this needs h2load, which Debian has in nghttp2-client")
    with tempfile.TemporaryDirectory() as name, aio_server() as (process, aio_port), watched("tiny") as server:
        as_json, as_message = questions(Path(name))
        head = ("-H", "content-type: application/grpc", "-H", "te: trailers", "-H", "user-agent: grpc-c++/1.60")
        own, other = Meter(server.process.pid, server.port), Meter(process, aio_port)
        json_head = ("--h1", "-c16", "-H", "content-type: application/json")
        contenders: dict[str, tuple[Meter, Callable[[int], None]]] = {
            JSON: (own, lambda n: asked(server.port, "/v2/models/tiny/infer", as_json, n, *json_head)),
            UNARY: (own, lambda n: asked(server.port, INFER, as_message, n, "-c16", "-m1", *head)),
            "gRPC, 1 connection of 16": (own, lambda n: asked(server.port, INFER, as_message, n, "-c1", "-m16", *head)),
            MULTIPLEXED: (own, lambda n: asked(server.port, INFER, as_message, n, "-c1", "-m64", *head)),
            AIO: (other, lambda n: asked(aio_port, INFER, as_message, n // 4, "-c16", "-m1", *head)),
        }
        seconds: dict[str, list[float]] = {name: [] for name in contenders}
        for number in range(rounds + 1):
            for contender, (meter, ask) in contenders.items():
                before = meter.seconds()
                ask(requests)
                if number:
                    count = requests // 4 if contender == AIO else requests
                    seconds[contender].append((meter.seconds() - before) / count)
            print(f"round {number} of {rounds}", file=sys.stderr, flush=True)
    ratios = {
        aim: statistics.median(a / b for a, b in zip(seconds[one], seconds[base], strict=True))
        for aim, (one, base, _) in AIMS.items()
    }
    return {
        "requests": requests,
        "rounds": rounds,
        "cpu_us": {name: statistics.median(values) * 1e6 for name, values in seconds.items()},
        "ratios": ratios,
        "held": {aim: ratios[aim] <= most for aim, (_, _, most) in AIMS.items()},
    }

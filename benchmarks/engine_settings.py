"""What the engine's settings cost and gain: `python -m benchmarks.engine_settings`, for ADR 0003.

Every contender is a process of its own, in turn over the rounds. Spinning: a server with all its threads asked 50 times
a second, its CPU and the median latency. Memory: many shapes one after another, then the resident memory and the time.
Threads: a run over a batch. The record is `records/<date>-engine.json`.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.processes import resident

RECORDS = Path(__file__).parent / "records"
_SPIN = "session.intra_op.spin_duration_us"
_MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(128 << 10), "MALLOC_TRIM_THRESHOLD_": str(128 << 10)}
SPINNING: dict[str, dict[str, str]] = {
    "off": {"session.intra_op.allow_spinning": "0"},
    "100 us": {_SPIN: "100"},
    "1000 us": {_SPIN: "1000"},
    "5000 us": {_SPIN: "5000"},
    "default": {},
}
MEMORY: dict[str, tuple[bool, dict[str, str]]] = {
    "arena": (True, {}),
    "arena, malloc thresholds": (True, _MALLOC),
    "no arena": (False, {}),
    "no arena, malloc thresholds": (False, _MALLOC),
}


def main(rounds: int = 3) -> None:
    """Measure, print, and write the record."""
    groups = {
        "threads": {str(count): (["threads", str(count)], {}) for count in (1, 2)},
        "spinning": {name: (["spin", json.dumps(entries)], {}) for name, entries in SPINNING.items()},
        "memory": {name: (["memory", str(int(arena))], extra) for name, (arena, extra) in MEMORY.items()},
    }
    record: dict[str, Any] = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine.describe()}
    record["load_average_at_the_start"] = os.getloadavg()[0]
    RECORDS.mkdir(exist_ok=True)
    path = RECORDS / f"{record['date'][:10]}-engine.json"
    for name, contenders in groups.items():
        record[name] = _in_turn(contenders, rounds)
        print(json.dumps({name: record[name]}, indent=2), flush=True)
        path.write_text(json.dumps(record, indent=2) + "\n")


def _in_turn(contenders: Mapping[str, tuple[list[str], dict[str, str]]], rounds: int) -> dict[str, dict[str, float]]:
    found: dict[str, list[dict[str, float]]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name, (arguments, environment) in contenders.items():
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.engine_settings", *arguments],
                env=os.environ | {"ORT_DISABLE_TELEMETRY": "1"} | environment,
                capture_output=True,
                check=True,
            )
            found[name].append(json.loads(done.stdout))
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    return {name: {key: statistics.median(row[key] for row in rows) for key in rows[0]} for name, rows in found.items()}


def _spin(entries: dict[str, str]) -> dict[str, float]:
    """50 runs a second of a model large enough for its threads to be used."""
    import numpy as np

    session = _session(_layers(512, 6), 2, entries)
    x = np.ones((16, 512), np.float32)
    for _ in range(5):
        session.run(None, {"x": x})
    taken, cpu, started = [], time.process_time(), time.perf_counter()
    for number in range(150):
        time.sleep(max(0.0, started + number / 50 - time.perf_counter()))
        before = time.perf_counter()
        session.run(None, {"x": x})
        taken.append(time.perf_counter() - before)
    whole = time.perf_counter() - started
    return {
        "cpu_percent": 100 * (time.process_time() - cpu) / whole,
        "p50_ms": 1e3 * statistics.median(taken),
        "p99_ms": 1e3 * sorted(taken)[-2],
    }


def _memory(arena: bool) -> dict[str, float]:
    """100 runs of 1 to 2,048 rows, drawn at random."""
    import numpy as np

    session = _session(_layers(512, 4), 1, {}, arena)
    draw = np.random.default_rng(0)
    started = time.perf_counter()
    for _ in range(100):
        x = np.ones((int(draw.integers(1, 2049)), 512), np.float32)
        session.run(None, {"x": x})
    return {"resident_mb": resident(os.getpid()) / 1e6, "seconds": time.perf_counter() - started}


def _threads(count: int) -> dict[str, float]:
    import numpy as np

    session = _session(_layers(1024, 6), count, {})
    found = {}
    for batch in (1, 32):
        x = np.ones((batch, 1024), np.float32)
        taken = []
        for _ in range(60):
            before = time.perf_counter()
            session.run(None, {"x": x})
            taken.append(time.perf_counter() - before)
        found[f"batch_{batch}_ms"] = 1e3 * statistics.median(taken[10:])
    return found


def _session(model: bytes, threads: int, entries: Mapping[str, str], arena: bool = True) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = arena
    for key, value in entries.items():
        options.add_session_config_entry(key, value)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _layers(width: int, count: int) -> bytes:
    """A chain of square products and relus."""
    import numpy as np
    from tests.serving.onnx_models import model, node

    draw = np.random.default_rng(0)
    weights = {f"w{n}": (draw.standard_normal((width, width)) / width**0.5).astype(np.float32) for n in range(count)}
    nodes = []
    for n in range(count):
        nodes += [node("MatMul", ["x" if n == 0 else f"h{n}", f"w{n}"], [f"m{n}"])]
        nodes += [node("Relu", [f"m{n}"], ["y" if n == count - 1 else f"h{n + 1}"])]
    return model(nodes, [f"x:float32[batch,{width}]"], [f"y:float32[batch,{width}]"], weights)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    else:
        kinds: dict[str, Callable[[str], dict[str, float]]] = {
            "spin": lambda text: _spin(json.loads(text)),
            "memory": lambda text: _memory(text == "1"),
            "threads": lambda text: _threads(int(text)),
        }
        print(json.dumps(kinds[sys.argv[1]](sys.argv[2])))

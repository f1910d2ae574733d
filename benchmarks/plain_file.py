"""Requests per second of a plain `.onnx` file beside the same model published: `python -m benchmarks.plain_file`.

A published version says that its rows may be batched. Of a plain file the server proves it (see docs/equivalence.md).
Both are served by the wheel, its hot path compiled, on CPU 0; wrk sends JSON from CPU 1. The CPU time of a request
moves less than the rate when the machine does other work too. Given the folder of a wheel,
that one is taken instead of a new one.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import statistics
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from tests.serving.publishing import publish

from benchmarks import machine, networks, wheel
from benchmarks.server import ONNXPRESS, RECORDS, Contender, asked, free_port, running

CLIENTS = (1, 16, 64)
AIM = 0.95
"""of the published version's rate, at 16 and 64 clients"""
MODEL = "tiny"
PUBLISHED, PLAIN = "published", "plain file"


def main(site: str = "", rounds: int = 9, seconds: int = 2) -> None:
    """Measure in turn, print, and write `records/<date>-plain-file.json`."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        site = site or str(wheel.install(folder / "wheel"))
        contenders = _contenders(folder, site, stack)
        rates: dict[int, dict[str, list[tuple[float, float]]]] = {}
        for clients in CLIENTS:
            rates[clients] = {name: [] for name in contenders}
            for number in range(rounds):
                for name in list(contenders)[:: 1 if number % 2 else -1]:
                    rates[clients][name].append(asked(contenders[name], MODEL, clients, seconds))
    figures = {str(clients): _summary(found) for clients, found in rates.items()}
    date = datetime.now(UTC).isoformat(timespec="seconds")
    record = {"date": date, "machine": machine.describe(), "load_average": os.getloadavg()[0], "requests": figures}
    path = RECORDS / f"{date[:10]}-plain-file.json"
    path.write_text(json.dumps(record, indent=2) + "\n")
    for clients, row in figures.items():
        print(f"{clients:>3} clients: " + ", ".join(f"{name} {value:,.2f}" for name, value in row.items()))
    print(path.relative_to(RECORDS.parent.parent))


def _contenders(folder: Path, site: str, stack: contextlib.ExitStack) -> dict[str, Contender]:
    content = networks.build(MODEL)
    (folder / "plain").mkdir()
    file = folder / "plain" / f"{MODEL}.onnx"
    file.write_bytes(content)
    publish(folder / "models", MODEL, content)
    values = np.random.default_rng(1).random(networks.SHAPES[MODEL], np.float32)
    tensor = {"name": "x", "shape": list(values.shape), "datatype": "FP32"}
    numbers = [round(float(value), 6) for value in values.ravel()]
    question = folder / "question"
    question.write_text(json.dumps({"inputs": [{**tensor, "data": numbers}]}, separators=(",", ":")))
    found = {}
    for name, served in ((PUBLISHED, folder / "models"), (PLAIN, file)):
        port = free_port()
        command = ["env", f"PYTHONPATH={site}", ONNXPRESS, "serve", str(served), "--port", str(port)]
        found[name] = Contender(stack.enter_context(running(command, port)), port, question)
    return found


def _summary(found: dict[str, list[tuple[float, float]]]) -> dict[str, float]:
    """Medians: requests per second, microseconds of CPU for one, and how the plain file stands to the published one."""
    rates = {name: [rate for rate, _ in rows] for name, rows in found.items()}
    costs = {name: [cpu * 1e6 for _, cpu in rows] for name, rows in found.items()}
    shares = [plain / published for published, plain in zip(rates[PUBLISHED], rates[PLAIN], strict=True)]
    cheaper = [published / plain for published, plain in zip(costs[PUBLISHED], costs[PLAIN], strict=True)]
    return (
        {f"{name}, requests/s": statistics.median(values) for name, values in rates.items()}
        | {f"{name}, us CPU": statistics.median(values) for name, values in costs.items()}
        | {"share": statistics.median(shares), "share by CPU": statistics.median(cheaper)}
    )


if __name__ == "__main__":
    if shutil.which("wrk") is None or shutil.which("taskset") is None or (os.cpu_count() or 1) < 2:
        raise SystemExit("this needs wrk, taskset and two CPUs")
    main(*sys.argv[1:2])

"""Several runs of one model at once against several processes: `python -m benchmarks.instances`.

A model of 128 MiB of weights, each run on one thread, asked by 16 connections of wrk. Served by one process; by one
that runs two batches at a time (`--instances 2`); and by two workers. The rounds take turns. Rates are medians, and
the memory is what lies in no file, after the last round.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import machine, wrk
from benchmarks.reliability import big_model
from benchmarks.reliability.serving import serving

RECORDS = Path(__file__).parent / "records"
_LAYERS = 8
_CONNECTIONS = 16
_WAYS: dict[str, Sequence[str]] = {
    "one process": (),
    "--instances 2": ("--instances", "2"),
    "--workers 2": ("--workers", "2"),
}


def main(rounds: int = 5, seconds: float = 3.0) -> None:
    """Measure, print, and write `records/<date>-instances.json`."""
    if shutil.which("wrk") is None:
        raise SystemExit("this needs wrk")
    rates: dict[str, list[float]] = {way: [] for way in _WAYS}
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        x, _ = big_model.publish(folder / "models", _LAYERS)
        tensor = {"name": "h0", "shape": x.shape, "datatype": "FP32", "data": x.ravel().tolist()}
        (folder / "body").write_text(json.dumps({"inputs": [tensor]}))
        script = folder / "ask.lua"
        script.write_text(
            "wrk.method = 'POST'\nwrk.path = '/v2/models/big/infer'\n"
            f"wrk.body = io.open('{folder / 'body'}'):read('*a')\n"
        )
        servers = {
            way: stack.enter_context(serving(str(folder / "models"), "--threads", "1", *options))
            for way, options in _WAYS.items()
        }
        for server in servers.values():
            wrk.rate(server.port, script, connections=_CONNECTIONS, seconds=1.0)
        for number in range(rounds):
            for way, server in servers.items():
                rates[way].append(wrk.rate(server.port, script, connections=_CONNECTIONS, seconds=seconds))
            print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
        private = {way: big_model.private_mb(server) for way, server in servers.items()}
    load = os.getloadavg()[0]
    first = rates["one process"]
    rows: dict[str, Any] = {
        way: {
            "per_second": statistics.median(found),
            "ratio": statistics.median(b / a for a, b in zip(first, found, strict=True)),
            "private_mb": private[way],
        }
        for way, found in rates.items()
    }
    date = datetime.now(UTC).isoformat(timespec="seconds")
    path = RECORDS / f"{date[:10]}-instances.json"
    record = {"date": date, "machine": machine.describe(), "load_average": load, "served": rows}
    path.write_text(json.dumps(record, indent=2) + "\n")
    print(f"{'':16}{'requests/s':>11}{'ratio':>7}{'MB':>7}")
    for way, row in rows.items():
        print(f"{way:16}{row['per_second']:>11.0f}{row['ratio']:>7.2f}{row['private_mb']:>7.0f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))

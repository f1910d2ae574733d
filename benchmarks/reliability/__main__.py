"""`python -m benchmarks.reliability [RUN]...`: all runs, or those named; writes `records/<date>-reliability.json`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.reliability import bad_versions, big_model, probes, runs, slow_loads

RECORDS = Path(__file__).parent.parent / "records"
RUNS: dict[str, Callable[[], dict[str, Any]]] = {
    "reloads": runs.reloads,
    "kills": runs.kills,
    "restarts": runs.restarts,
    "slow loads": slow_loads.slow_loads,
    "probes": probes.measure,
    "idle": runs.idle,
    "scaling": runs.scaling,
    "bad versions": bad_versions.measure,
    "big model": big_model.measure,
}


def main(names: list[str]) -> None:
    """Run, print, and put the figures into the day's record, beside those of the other runs."""
    unknown = [name for name in names if name not in RUNS]
    if unknown:
        raise SystemExit(f"no run {unknown[0]!r}; there are: {', '.join(RUNS)}")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    RECORDS.mkdir(exist_ok=True)
    path = RECORDS / f"{now[:10]}-reliability.json"
    record = json.loads(path.read_text()) if path.exists() else {}
    for name in names or list(RUNS):
        print(f"{name} ...", file=sys.stderr, flush=True)
        found = RUNS[name]()
        record[name] = {"date": now, "load_average_at_the_end": os.getloadavg()[0], **found}
        print(json.dumps({name: found}, indent=2), flush=True)
        path.write_text(json.dumps({**record, "machine": machine.describe()}, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])

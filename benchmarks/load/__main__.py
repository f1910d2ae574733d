"""`python -m benchmarks.load NAME`: one measurement, into `records/<date>-<name>.json`; see MEASUREMENTS."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from benchmarks import machine
from benchmarks.load import cost, floods, fuzz, overload, soak

RECORDS = Path(__file__).parent.parent / "records"
MEASUREMENTS = {
    "overload": overload.measure,
    "fuzz": fuzz.measure,
    "cost": cost.measure,
    "cost-asgi": partial(cost.measure, asgi=True),
    "floods": floods.measure,
    "soak": soak.measure,
}


def main(name: str) -> None:
    """Measure, write the record, and exit with 1 where what is promised was not held."""
    found = MEASUREMENTS[name]()
    now = datetime.now(UTC)
    record = {
        "date": now.isoformat(timespec="seconds"),
        "machine": machine.describe(),
        # Latencies of a machine that does other work too are those of both: above 1 or 2, read them so.
        "load_average": os.getloadavg()[0],
        name: found,
    }
    path = RECORDS / f"{now:%Y-%m-%d}-{name}.json"
    path.write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(found, indent=2))
    broken = [promise for promise, held in found["held"].items() if not held]
    if broken:
        raise SystemExit(f"not held: {', '.join(broken)}")


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in MEASUREMENTS:
        raise SystemExit(f"usage: python -m benchmarks.load {'|'.join(MEASUREMENTS)}")
    main(sys.argv[1])

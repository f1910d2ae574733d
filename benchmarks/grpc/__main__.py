"""`python -m benchmarks.grpc [NAME]`: one measurement, into `records/<date>-<name>.json`; see MEASUREMENTS.

With PYTHONPATH as `benchmarks.wheel` prints it, the wheel is measured, and else the checkout, interpreted.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import machine
from benchmarks.grpc import figures, floods, fuzz

RECORDS = Path(__file__).parent.parent / "records"
MEASUREMENTS = {"grpc": figures.measure, "grpc-floods": floods.measure, "grpc-fuzz": fuzz.measure}


def main(name: str) -> None:
    """Measure, write the record, and exit with 1 where what is promised was not held."""
    found = MEASUREMENTS[name]()
    now = datetime.now(UTC)
    record = {
        "date": now.isoformat(timespec="seconds"),
        "machine": machine.describe(),
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
    if len(sys.argv) > 2 or sys.argv[1:2] not in ([], *([name] for name in MEASUREMENTS)):
        raise SystemExit(f"usage: python -m benchmarks.grpc [{'|'.join(MEASUREMENTS)}]")
    main(*sys.argv[1:] or ["grpc"])

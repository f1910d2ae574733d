"""A measurement of promises: its record, and the exit status that says whether they were held."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import machine

RECORDS = Path(__file__).parent / "records"


def record(name: str, measure: Callable[[], dict[str, Any]]) -> None:
    """Measure, write `records/<date>-<name>.json`, and exit with 1 where what is promised was not held."""
    found = measure()
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

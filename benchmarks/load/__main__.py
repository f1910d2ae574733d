"""`python -m benchmarks.load NAME`: one measurement, into `records/<date>-<name>.json`; see MEASUREMENTS."""

from __future__ import annotations

import sys
from functools import partial

from benchmarks import held
from benchmarks.load import cost, floods, fuzz, overload, soak

MEASUREMENTS = {
    "overload": overload.measure,
    "fuzz": fuzz.measure,
    "cost": cost.measure,
    "cost-asgi": partial(cost.measure, asgi=True),
    "floods": floods.measure,
    "soak": soak.measure,
}

if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in MEASUREMENTS:
        raise SystemExit(f"usage: python -m benchmarks.load {'|'.join(MEASUREMENTS)}")
    held.record(sys.argv[1], MEASUREMENTS[sys.argv[1]])

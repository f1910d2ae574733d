"""`python -m benchmarks.grpc [NAME]`: one measurement, into `records/<date>-<name>.json`; see MEASUREMENTS.

With PYTHONPATH as `benchmarks.wheel` prints it, the wheel is measured, and else the checkout, interpreted.
"""

from __future__ import annotations

import sys

from benchmarks import held
from benchmarks.grpc import figures, floods, fuzz

MEASUREMENTS = {"grpc": figures.measure, "grpc-floods": floods.measure, "grpc-fuzz": fuzz.measure}

if __name__ == "__main__":
    if len(sys.argv) > 2 or sys.argv[1:2] not in ([], *([name] for name in MEASUREMENTS)):
        raise SystemExit(f"usage: python -m benchmarks.grpc [{'|'.join(MEASUREMENTS)}]")
    name = (sys.argv[1:] or ["grpc"])[0]
    held.record(name, MEASUREMENTS[name])

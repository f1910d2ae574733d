"""Timing whole processes in turn, so that a slow moment of the machine meets every contender."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from onnxpress.core import memory


def resident(pid: int) -> int:
    """Bytes of a process's memory that are in RAM."""
    return memory.of_process(pid).resident


def in_turn(contenders: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Run every contender once a round, after one round that is not counted; seconds by contender."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, run in contenders.items():
            taken = run()
            if number:
                seconds[name].append(taken)
        print(f"  round {number} of {rounds}", file=sys.stderr, flush=True)
    return seconds


def environment() -> dict[str, str]:
    """Of a process that is timed: its modules are compiled once. Without that every start would compile them anew."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def process(command: Sequence[str], *, folder: Path | None = None) -> Callable[[], float]:
    """A contender: the wall time of one process, in `folder`, which must succeed."""

    def run() -> float:
        started = time.perf_counter()
        silent = subprocess.DEVNULL
        subprocess.run(command, check=True, cwd=folder, env=environment(), stdout=silent, stderr=silent)
        return time.perf_counter() - started

    return run


def against(seconds: Mapping[str, Sequence[float]], reference: str) -> dict[str, dict[str, float]]:
    """Median, minimum and maximum seconds of each contender, and its median ratio to the reference, round by round."""
    return {
        name: {
            "median_s": statistics.median(values),
            "min_s": min(values),
            "max_s": max(values),
            "ratio": statistics.median(a / b for a, b in zip(values, seconds[reference], strict=True)),
        }
        for name, values in seconds.items()
    }

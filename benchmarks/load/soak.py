"""A million requests, most of them usual, some wrong, some cut off: memory and descriptors stay what they are."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.load import fuzz
from benchmarks.load.process import settled, watched

POST = str(Path(__file__).parent.parent / "floor" / "post.lua")
_MEGABYTE = 1e6


def measure(requests: int = 1_000_000, warm_up: int = 100_000, seconds: int = 5) -> dict[str, Any]:
    """wrk asks over 16 connections; between its stretches come mutated requests and connections that are cut."""
    with watched("tiny") as server:
        done, before, descriptors = 0, 0, 0
        course = []
        while done < requests + warm_up:
            done += _stretch(server.port, seconds)
            wrong = fuzz.mutants(seed=done, count=500)
            asyncio.run(fuzz.over_the_wire(server.port, wrong))
            done += len(wrong)
            memory = server.memory
            if not before and done >= warm_up:
                before, descriptors = memory, settled(server, 0, seconds=1)
            course.append([done, round(memory / _MEGABYTE, 2)])
        grown, left = server.memory - before, settled(server, descriptors)
        alive = server.alive
    return {
        "requests": done,
        "memory_mb_after_warm_up": before / _MEGABYTE,
        "memory_growth_mb": grown / _MEGABYTE,
        "descriptors": [descriptors, left],
        "course": course,
        "held": {
            "memory grows by 5 MB at most": grown <= 5 * _MEGABYTE,
            "no descriptor is left": left <= descriptors,
            "alive": alive,
        },
    }


def _stretch(port: int, seconds: int) -> int:
    command = ["wrk", "-t1", "-c16", f"-d{seconds}s", "-s", POST, f"http://127.0.0.1:{port}/"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + 120)
    if "Non-2xx" in done.stdout:
        raise SystemExit(f"wrk was refused:\n{done.stdout}")
    words = done.stdout.split()
    return int(words[words.index("requests") - 1])

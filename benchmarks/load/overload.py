"""Three times the capacity for a minute: what is accepted stays quick, the rest is refused at once."""

from __future__ import annotations

import asyncio
from typing import Any

from benchmarks.load.callers import closed_loop, infer, open_loop
from benchmarks.load.process import watched

STEPS = 5_000
"""of the model `slow`: some milliseconds, no two requests in one run"""
CALLERS = 16


def measure(seconds: float = 60, steps: int = STEPS) -> dict[str, Any]:
    """Capacity is what 16 callers get who each wait for their answer; the queue is bounded to as many."""
    question = infer("slow", "steps", [], "INT64", [steps])
    with watched("slow", "--max-waiting", str(CALLERS)) as server:
        asyncio.run(closed_loop(server.port, question, CALLERS, 1))
        capacity = asyncio.run(closed_loop(server.port, question, CALLERS, seconds / 6))
        rate = capacity.count(200) / (seconds / 6)
        # A little overload first: what memory the first thousand connections take is not growth.
        asyncio.run(open_loop(server.port, question, 3 * rate, seconds / 12))
        before = server.memory
        over = asyncio.run(open_loop(server.port, question, 3 * rate, seconds))
        grown = server.memory - before
        again = asyncio.run(closed_loop(server.port, question, CALLERS, seconds / 6))
        alive = server.alive
    at_capacity, accepted, refused = capacity.quantile(200, 0.99), over.quantile(200, 0.99), over.quantile(503, 0.99)
    recovered = again.count(200) / (seconds / 6)
    return {
        "capacity_per_second": rate,
        "capacity_p99_ms": at_capacity * 1e3,
        "offered_per_second": sum(map(len, over.seconds.values())) / seconds,
        "accepted_per_second": over.count(200) / seconds,
        "accepted_p99_ms": accepted * 1e3,
        "refused_per_second": over.count(503) / seconds,
        "refused_p50_ms": over.quantile(503, 0.5) * 1e3,
        "refused_p99_ms": refused * 1e3,
        "other_answers": sum(map(len, over.seconds.values())) - over.count(200, 503),
        "memory_growth_mb": grown / 1e6,
        "afterwards_per_second": recovered,
        "held": {
            "accepted p99 within 3 times that at capacity": accepted <= 3 * at_capacity,
            "the rest 503 within 10 ms": refused <= 0.010 and over.count(503) > 0,
            "nothing but 200 and 503": over.count(200, 503) == sum(map(len, over.seconds.values())),
            "memory flat (5 MB)": grown <= 5e6,
            "recovery at once": alive and recovered >= 0.8 * rate and again.count(503) == 0,
        },
    }

"""A thousand connections that send slowly or nothing: what normal callers notice of them."""

from __future__ import annotations

import asyncio
from typing import Any

from benchmarks.load.callers import Answers, closed_loop, infer
from benchmarks.load.process import settled, watched

CALLERS, PAUSE = 4, 0.005
_HEAD = b"POST /v2/models/tiny/infer HTTP/1.1\r\nhost: flood\r\n"
OPENINGS = {"slow headers": _HEAD, "slow bodies": _HEAD + b"content-length: 100000\r\n\r\n", "idle": b""}
"""what each connection of a flood begins with; a byte a second follows, but for the idle ones"""


def measure(connections: int = 1000, seconds: float = 10) -> dict[str, Any]:
    """Latency of normal callers without and with each flood."""
    question = infer("tiny", "x", [1, 32], "FP32", [0.5] * 32)
    found: dict[str, Any] = {"connections": connections}
    held = {}
    with watched("tiny") as server:
        asyncio.run(closed_loop(server.port, question, CALLERS, 1, PAUSE))
        descriptors = server.descriptors
        for name, opening in OPENINGS.items():
            # Before and after, since the machine may do other work: the worse of the two is what is normal now.
            before = asyncio.run(closed_loop(server.port, question, CALLERS, seconds, PAUSE))
            during = asyncio.run(_flood(server.port, opening, question, connections, seconds))
            after = asyncio.run(closed_loop(server.port, question, CALLERS, seconds, PAUSE))
            normal = max(before.quantile(200, 0.99), after.quantile(200, 0.99))
            flooded = during.quantile(200, 0.99)
            found[name] = {
                "before_p99_ms": before.quantile(200, 0.99) * 1e3,
                "during_p99_ms": flooded * 1e3,
                "after_p99_ms": after.quantile(200, 0.99) * 1e3,
            }
            held[f"{name}: p99 within 2 times"] = flooded <= 2 * normal
            held[f"{name}: every normal caller is answered"] = set(during.seconds) == {200}
        held["no descriptor is left"] = settled(server, descriptors) <= descriptors
        held["alive"] = server.alive
    return {**found, "held": held}


async def _flood(port: int, opening: bytes, question: bytes, connections: int, seconds: float) -> Answers:
    flood = [await asyncio.open_connection("127.0.0.1", port) for _ in range(connections)]

    async def drip() -> None:
        while True:
            for number, (_, writer) in enumerate(flood):
                writer.write(b"x")
                if number % 50 == 0:  # spread over the second, as a thousand callers would be
                    await asyncio.sleep(50 / connections)

    for _, writer in flood:
        writer.write(opening)
    dripping = asyncio.ensure_future(drip()) if opening else None
    answers = await closed_loop(port, question, CALLERS, seconds, PAUSE)
    if dripping is not None:
        dripping.cancel()
    for _, writer in flood:
        writer.transport.abort()
    return answers

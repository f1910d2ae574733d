"""Clients of HTTP/2 that send much and ask for nothing: what normal callers notice of them."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
from collections.abc import Callable
from typing import Any

from benchmarks.load.callers import Answers, closed_loop, infer
from benchmarks.load.process import settled, watched
from onnxpress.serving.transports.http2 import frames, hpack

CALLERS, PAUSE = 4, 0.005
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FLOODING = 4
"""connections that flood at a time"""
_AWAY = 0.02
"""seconds after which one that was thrown out comes again"""
_TOGETHER = 100
_FIELDS = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/v2/models/tiny/infer"), (b":authority", b"f")]
_HEAD = hpack.encoded(_FIELDS)
_GET = hpack.encoded([(b":method", b"GET"), *_FIELDS[1:2], (b":path", b"/v2"), *_FIELDS[3:]])


def _opened(at: int, flags: int, block: bytes = _HEAD) -> bytes:
    return frames.frame(frames.HEADERS, flags, 2 * at + 1, block)


FLOODS: dict[str, tuple[dict[int, int], Callable[[int], bytes]]] = {
    "rapid reset": ({}, lambda at: _opened(at, frames.END_HEADERS) + frames.rst_stream(2 * at + 1, frames.CANCEL)),
    "settings": ({}, lambda at: frames.settings({frames.INITIAL_WINDOW_SIZE: 65535})),
    "continuation": ({}, lambda at: frames.frame(frames.CONTINUATION, 0, 1, b"x") if at else _opened(0, 0)),
    "window 0": (
        {frames.INITIAL_WINDOW_SIZE: 0},
        lambda at: _opened(at, frames.END_HEADERS | frames.END_STREAM, _GET),
    ),
}
"""flood → the client's settings, and its frames by their number"""


def measure(seconds: float = 8) -> dict[str, Any]:
    """Latency of normal callers without and with each flood."""
    question = infer("tiny", "x", [1, 32], "FP32", [0.5] * 32)
    found: dict[str, Any] = {"flooding": FLOODING}
    held = {}
    with watched("tiny") as server:
        asyncio.run(closed_loop(server.port, question, CALLERS, 1, PAUSE))
        descriptors = server.descriptors
        for name, (settings, frame) in FLOODS.items():
            # Before and after, since the machine may do other work: the worse of the two is what is normal now.
            before = asyncio.run(closed_loop(server.port, question, CALLERS, seconds, PAUSE))
            during, sent = asyncio.run(_flooded(server.port, settings, frame, question, seconds))
            after = asyncio.run(closed_loop(server.port, question, CALLERS, seconds, PAUSE))
            normal = max(before.quantile(200, 0.99), after.quantile(200, 0.99))
            found[name] = {
                "frames_sent": sent,
                "before_p99_ms": before.quantile(200, 0.99) * 1e3,
                "during_p99_ms": during.quantile(200, 0.99) * 1e3,
                "after_p99_ms": after.quantile(200, 0.99) * 1e3,
                "during_median_ms": statistics.median(during.seconds.get(200, [0])) * 1e3,
            }
            held[f"{name}: p99 within 2 times"] = during.quantile(200, 0.99) <= 2 * normal
            held[f"{name}: every normal caller is answered"] = set(during.seconds) == {200}
        held["no descriptor is left"] = settled(server, descriptors) <= descriptors
        held["alive"] = server.alive
    return {**found, "held": held}


async def _flooded(
    port: int, settings: dict[int, int], frame: Callable[[int], bytes], question: bytes, seconds: float
) -> tuple[Answers, int]:
    sent = 0
    made = [b"".join(frame(at) for at in range(start, start + _TOGETHER)) for start in range(0, 20_000, _TOGETHER)]

    async def flood() -> None:
        nonlocal sent
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            reading = asyncio.ensure_future(_read_all(reader))
            with contextlib.suppress(OSError):
                writer.write(PREFACE + frames.settings(settings))
                for part in made:
                    if reading.done() or writer.transport.is_closing():
                        break
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(0)
                    sent += _TOGETHER
                await asyncio.wait([reading], timeout=0.2)
            reading.cancel()
            writer.transport.abort()
            await asyncio.sleep(_AWAY)

    flooding = [asyncio.ensure_future(flood()) for _ in range(FLOODING)]
    answers = await closed_loop(port, question, CALLERS, seconds, PAUSE)
    for one in flooding:
        one.cancel()
    await asyncio.gather(*flooding, return_exceptions=True)
    return answers, sent


async def _read_all(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(OSError):
        while await reader.read(1 << 16):
            pass

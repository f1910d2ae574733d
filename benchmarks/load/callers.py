"""Callers over keep-alive connections, and how long their answers took."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Answers:
    """Seconds of each answer, by status; 0 stands for a connection that ended instead."""

    seconds: dict[int, list[float]] = field(default_factory=dict)

    def add(self, status: int, seconds: float) -> None:
        self.seconds.setdefault(status, []).append(seconds)

    def count(self, *statuses: int) -> int:
        return sum(len(self.seconds.get(status, ())) for status in statuses)

    def quantile(self, status: int, share: float) -> float:
        """Seconds within which this share of the answers with that status came; 0 where there are none."""
        found = sorted(self.seconds.get(status, ()))
        return found[max(0, math.ceil(share * len(found)) - 1)] if found else 0.0


def infer(model: str, name: str, shape: Sequence[int], datatype: str, data: Sequence[float]) -> bytes:
    """The bytes of one inference request."""
    tensor = {"name": name, "shape": list(shape), "datatype": datatype, "data": list(data)}
    body = json.dumps({"inputs": [tensor]}).encode()
    head = f"POST /v2/models/{model}/infer HTTP/1.1\r\nhost: load\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def ask(streams: Streams, question: bytes) -> int:
    """Send, and read the answer; its status."""
    reader, writer = streams
    writer.write(question)
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
    await reader.readexactly(int(length))
    return int(head[9:12])


async def one_after_the_other(port: int, question: bytes, until: float, answers: Answers, pause: float = 0) -> None:
    """One caller: asks, waits for the answer, asks again, until that moment of perf_counter."""
    streams = await asyncio.open_connection("127.0.0.1", port)
    while perf_counter() < until:
        started = perf_counter()
        status = await ask(streams, question)
        answers.add(status, perf_counter() - started)
        if pause:
            await asyncio.sleep(pause)
    streams[1].close()


async def closed_loop(port: int, question: bytes, callers: int, seconds: float, pause: float = 0) -> Answers:
    """So many callers at once, each asking one after the other."""
    answers, until = Answers(), perf_counter() + seconds
    await asyncio.gather(*(one_after_the_other(port, question, until, answers, pause) for _ in range(callers)))
    return answers


async def open_loop(port: int, question: bytes, rate: float, seconds: float, most: int = 1000) -> Answers:
    """Ask so many times a second whether or not answers come; each time on a connection that is free, or a new one."""
    answers, free = Answers(), list[Streams]()
    tasks: set[asyncio.Task[None]] = set()

    async def once() -> None:
        streams = free.pop() if free else await asyncio.open_connection("127.0.0.1", port)
        started = perf_counter()
        try:
            status = await ask(streams, question)
        except (OSError, asyncio.IncompleteReadError):
            status = 0
        else:
            free.append(streams)
        answers.add(status, perf_counter() - started)

    began, sent = perf_counter(), 0
    while (now := perf_counter() - began) < seconds:
        while sent < now * rate and len(tasks) < most:
            sent += 1
            task = asyncio.ensure_future(once())
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        sent = max(sent, int(now * rate) - most)  # what this caller could not even send is not made up for
        await asyncio.sleep(0.001)
    await asyncio.gather(*tasks)
    for _, writer in free:
        writer.close()
    return answers

"""Callers over keep-alive connections, and how long their answers took.

An answer's time ends when the kernel had its last byte (Linux stamps what it receives on request), not when this
process got a CPU to read it: on a busy machine that adds tens of milliseconds which no server is to blame for.
"""

from __future__ import annotations

import asyncio
import json
import math
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter, time_ns

_CATCH_UP = 0.02
_STAMPED = 35  # SO_TIMESTAMPNS, and the type of the message with the stamp; Python's socket does not name it
_STAMP = struct.Struct("@ll")
"""seconds and nanoseconds by the clock of time_ns"""
_STAMPS = (socket.SOL_SOCKET, _STAMPED)


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


class Line:
    """One connection, with at most one question on its way. Used inside a running loop."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, _STAMPED, 1)
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[tuple[int, int]]
        self._received = bytearray()
        self._loop.add_reader(self._socket, self._read)

    async def ask(self, question: bytes) -> tuple[int, float]:
        """Send, and wait for the answer; its status and seconds. Raises OSError where the connection ends instead."""
        self._answer = self._loop.create_future()
        began = time_ns()
        await self._loop.sock_sendall(self._socket, question)
        status, came = await self._answer
        return status, (came - began) / 1e9

    def close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _read(self) -> None:
        try:
            part, messages, _, _ = self._socket.recvmsg(1 << 16, socket.CMSG_SPACE(_STAMP.size))
        except BlockingIOError:
            return
        except OSError:
            part, messages = b"", []
        if not part:
            self._loop.remove_reader(self._socket)
            if not self._answer.done():
                self._answer.set_exception(ConnectionResetError("the connection ended"))
            return
        self._received += part
        head, found, body = self._received.partition(b"\r\n\r\n")
        if found and len(body) >= int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]):
            came = [_STAMP.unpack(content) for level, kind, content in messages if (level, kind) == _STAMPS]
            self._received = bytearray()
            self._answer.set_result((int(head[9:12]), came[0][0] * 10**9 + came[0][1] if came else time_ns()))


async def one_after_the_other(port: int, question: bytes, until: float, answers: Answers, pause: float = 0) -> None:
    """One caller: asks, waits for the answer, asks again, until that moment of perf_counter."""
    line = Line(port)
    while perf_counter() < until:
        answers.add(*await line.ask(question))
        if pause:
            await asyncio.sleep(pause)
    line.close()


async def closed_loop(port: int, question: bytes, callers: int, seconds: float, pause: float = 0) -> Answers:
    """So many callers at once, each asking one after the other."""
    answers, until = Answers(), perf_counter() + seconds
    await asyncio.gather(*(one_after_the_other(port, question, until, answers, pause) for _ in range(callers)))
    return answers


async def open_loop(port: int, question: bytes, rate: float, seconds: float, most: int = 1000) -> Answers:
    """Ask so many times a second whether or not answers come; each time on a connection that is free, or a new one.

    At most `most` questions are on their way. What this caller was kept from sending for more than 20 ms is not made up
    for: all of it at once would be another load than the one asked for. How many answers there are tells.
    """
    answers, free = Answers(), list[Line]()
    tasks: set[asyncio.Task[None]] = set()

    async def once() -> None:
        line = free.pop() if free else Line(port)
        try:
            status, seconds = await line.ask(question)
        except OSError:
            line.close()
            answers.add(0, 0.0)
        else:
            free.append(line)
            answers.add(status, seconds)

    began, sent = perf_counter(), 0
    while (now := perf_counter() - began) < seconds:
        sent = max(sent, int((now - _CATCH_UP) * rate))
        while sent < now * rate and len(tasks) < most:
            sent += 1
            task = asyncio.ensure_future(once())
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.sleep(0.001)
    await asyncio.gather(*tasks)
    for line in free:
        line.close()
    return answers

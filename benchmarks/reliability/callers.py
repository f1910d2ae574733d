"""Clients that ask without pause and keep account of every request: answered, or how and on which port it failed."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import dataclass

import msgspec

TIMEOUT = 20.0


@dataclass(frozen=True)
class Failure:
    """A request without a right answer: when (time.monotonic), from which local port, and what came instead."""

    at: float
    port: int
    what: str


class _Output(msgspec.Struct):
    data: list[float]


class _Answer(msgspec.Struct):
    outputs: list[_Output]
    model_version: str | None = None


class Callers:
    """`count` threads; every second one keeps its connection, the others take a new one for each request."""

    def __init__(self, port: int, target: str, body: bytes, count: int = 8) -> None:
        head = f"POST {target} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n"
        self._port, self._request = port, head.encode() + body
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(number % 2 == 0,)) for number in range(count)]
        self.answered = 0
        self.failures: list[Failure] = []
        self.seconds: list[float] = []
        """of every answered request, connecting included"""
        self.values: dict[float, float] = {}
        """first number of the answers → when it was first seen"""

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(TIMEOUT + 5)

    def _run(self, keep: bool) -> None:
        connection: socket.socket | None = None
        decode = msgspec.json.Decoder(_Answer).decode
        while not self._stop.is_set():
            started, port = time.monotonic(), 0
            try:
                if connection is None:
                    connection = socket.create_connection(("127.0.0.1", self._port), timeout=TIMEOUT)
                port = connection.getsockname()[1]
                connection.sendall(self._request)
                status, body, closing = _answer(connection)
                if status != 200:
                    raise ConnectionError(f"status {status}: {body[:200].decode('utf-8', 'replace')}")
                value = decode(body).outputs[0].data[0]
            except (OSError, msgspec.MsgspecError) as error:
                self._count_failure(Failure(time.monotonic(), port, repr(error)))
                closing = True
            else:
                now = time.monotonic()
                with self._lock:
                    self.answered += 1
                    self.seconds.append(now - started)
                    self.values.setdefault(value, now)
            if connection is not None and (closing or not keep):
                connection.close()
                connection = None
        if connection is not None:
            connection.close()

    def _count_failure(self, failure: Failure) -> None:
        with self._lock:
            self.failures.append(failure)
        time.sleep(0.01)  # a server that is gone would be asked a million times

    def when_answered(self, value: float, seconds: float = 30.0) -> float:
        """When this first number was first answered; waits for it. Raises SystemExit past `seconds`."""
        deadline = time.monotonic() + seconds
        while value not in self.values:
            if time.monotonic() > deadline:
                raise SystemExit(f"{value:g} was not answered within {seconds:g} s; failures: {self.failures[-3:]}")
            time.sleep(0.002)
        return self.values[value]


def _answer(connection: socket.socket) -> tuple[int, bytes, bool]:
    """Status, body, and whether the server closes the connection."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _some(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next(int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:"))
    while len(body) < length:
        body += _some(connection)
    return int(lines[0].split()[1]), body, b"connection: close" in lines


def _some(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionError("the connection ended before the answer")
    return data

"""Callers of a server: several processes, each with its share of the connections, one question on each at a time.

python -m benchmarks.gpu.callers PORT CONNECTIONS SECONDS QUESTION_FILE   prints one JSON line
"""

from __future__ import annotations

import json
import selectors
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_PIECE = 1 << 18
_MAX_PROCESSES = 8


class _Line:
    """One connection: what is still to be sent, and what has come of the answer."""

    def __init__(self, port: int, question: bytes) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self._question = memoryview(question)
        self.ask()

    def ask(self) -> None:
        self.left, self._received, self._length, self.began = self._question, b"", -1, time.perf_counter()

    def send(self) -> None:
        try:
            while self.left:
                self.left = self.left[self.socket.send(self.left[:_PIECE]) :]
        except BlockingIOError:
            pass

    def receive(self) -> int:
        """The status of a whole answer, 0 before its end, -1 where the connection ended."""
        try:
            part = self.socket.recv(_PIECE)
        except BlockingIOError:
            return 0
        if not part:
            return -1
        self._received += part
        if self._length < 0:
            head, found, _ = self._received.partition(b"\r\n\r\n")
            if not found:
                return 0
            for line in head.split(b"\r\n")[1:]:
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    self._length = len(head) + 4 + int(value)
        return int(self._received[9:12]) if 0 <= self._length <= len(self._received) else 0


def load(port: int, connections: int, seconds: float, question: Path) -> dict[str, Any]:
    """Answers a second and their times, of several processes together; started together, after a warm-up."""
    count = min(_MAX_PROCESSES, connections)
    shares = [connections // count + (number < connections % count) for number in range(count)]
    start = time.time() + 0.4 + 0.05 * count
    commands = [
        [sys.executable, "-m", "benchmarks.gpu.callers", *map(str, (port, share, seconds, question, start))]
        for share in shares
    ]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    found = []
    try:
        for process in running:
            out, _ = process.communicate(timeout=seconds + 30)
            found.append(json.loads(out))
    finally:
        for process in running:
            if process.poll() is None:
                process.kill()
                process.wait()
    times = sorted(one for part in found for one in part["seconds"])
    return {
        "per_second": sum(part["answers"] for part in found) / seconds,
        "failed": sum(part["failed"] for part in found),
        "p50_s": times[len(times) // 2] if times else None,
        "p99_s": times[int(len(times) * 0.99)] if times else None,
    }


def main(port: int, connections: int, seconds: float, question: Path, start: float) -> None:
    """Ask from the moment `start` (the clock's seconds) on; answers of the first fifth are not counted."""
    content = question.read_bytes()
    selector = selectors.DefaultSelector()
    lines = [_Line(port, content) for _ in range(connections)]
    time.sleep(max(0.0, start - time.time()))
    for line in lines:
        line.ask()
        selector.register(line.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, line)
    counted = time.perf_counter() + seconds / 5
    ends = counted + seconds
    answers, failed, times = 0, 0, []
    while (now := time.perf_counter()) < ends:
        for key, events in selector.select(timeout=0.1):
            line = key.data
            if events & selectors.EVENT_WRITE:
                line.send()
                if not line.left:
                    selector.modify(line.socket, selectors.EVENT_READ, line)
                continue
            status = line.receive()
            if not status:
                continue
            if now >= counted:
                answers += status == 200
                failed += status != 200
                times.append(time.perf_counter() - line.began)
            if status < 0:
                selector.unregister(line.socket)
                continue
            line.ask()
            line.send()
            if line.left:
                selector.modify(line.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, line)
    print(json.dumps({"answers": answers, "failed": failed, "seconds": times[:: max(1, len(times) // 5000)]}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4]), float(sys.argv[5]))

"""A server on a loopback port, in this process or in its own, and a client that writes bytes as the test says."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxpress.serving.exchange import Handler
from onnxpress.serving.handler import handler_of
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.service import Service
from onnxpress.serving.settings import ConnectionLimits, ModelSettings, ServerSettings
from onnxpress.serving.transports.http import Server

WAIT = 60
"""seconds after which a test gives up"""


@dataclass
class Running:
    """A server in its own thread; `call` runs a function there."""

    port: int
    server: Server
    loop: asyncio.AbstractEventLoop

    def call(self, function: Any, *arguments: Any) -> Any:
        """The function's result, run on the server's loop."""

        async def once() -> Any:
            return function(*arguments)

        return asyncio.run_coroutine_threadsafe(once(), self.loop).result(WAIT)


@contextlib.contextmanager
def running(
    service: Service,
    limits: ConnectionLimits | None = None,
    *,
    around: Callable[[Handler], Handler] = lambda handler: handler,
    **settings: Any,
) -> Iterator[Running]:
    """Serve `service`, loading its repository first. `settings` are ServerSettings; `around` makes the handler."""
    limits = limits or ConnectionLimits()
    handler = around(handler_of(service, ServerSettings(limits=limits, **settings)))
    if not service.repository.ready:
        service.repository.load()
    started: threading.Event = threading.Event()
    box: list[Any] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = Server(handler, limits)
        listener = await loop.create_server(server.connection, "127.0.0.1", 0)
        stop = asyncio.Event()
        box.extend([Running(listener.sockets[0].getsockname()[1], server, loop), stop])
        server.tick()
        started.set()
        await stop.wait()
        listener.close()
        server.stop()
        for connection in list(server.connections):
            connection.transport.abort()
        await asyncio.sleep(0)

    try:
        import uvloop
    except ModuleNotFoundError:
        runner = asyncio.run
    else:
        runner = uvloop.run
    thread = threading.Thread(target=lambda: runner(main()), daemon=True)
    thread.start()
    assert started.wait(WAIT)
    found, stop = box
    try:
        yield found
    finally:
        found.loop.call_soon_threadsafe(stop.set)
        thread.join(WAIT)
        service.repository.close()
        assert not thread.is_alive()


@contextlib.contextmanager
def serving(path: Path, limits: ConnectionLimits | None = None, **settings: Any) -> Iterator[Running]:
    """Serve the models at `path`; `settings` are those of ModelSettings."""
    with running(Service(Repository(path, ModelSettings(**settings))), limits) as found:
        yield found


MAIN = [sys.executable, "-c", "from onnxpress.core.cli import main; main()"]


class Process:
    """A running server."""

    def __init__(self, popen: subprocess.Popen[str], url: str) -> None:
        self.popen, self.url = popen, url
        self.port = int(url.rpartition(":")[2]) if "unix" not in url else 0

    def leave(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Signal it, wait, and give its exit code and what it wrote to stderr."""
        self.popen.send_signal(number)
        _, errors = self.popen.communicate(timeout=WAIT)
        return self.popen.returncode, errors


@contextlib.contextmanager
def started(path: Path, *options: str, main: Sequence[str] = MAIN) -> Iterator[Process]:
    popen = subprocess.Popen(
        [*main, "serve", str(path), "--port", "0", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert popen.stdout is not None
        assert popen.stderr is not None
        url = popen.stdout.readline().strip()
        if not url:
            raise AssertionError(popen.communicate(timeout=WAIT)[1])
        yield Process(popen, url)
    finally:
        if popen.poll() is None:
            popen.kill()
        popen.communicate()


@dataclass
class Reply:
    """One answer as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


def wait_until(fact: Callable[[], bool]) -> None:
    """Wait until it is so, at most `WAIT` seconds."""
    end = time.monotonic() + WAIT
    while not fact():
        assert time.monotonic() < end
        time.sleep(0.01)


class Client:
    """One connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=WAIT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Write all of it."""
        self.socket.sendall(data)

    def reply(self, *, head_only: bool = False) -> Reply:
        """The next answer; `EOFError` where the connection ended instead."""
        first = self._file.readline()
        if not first:
            raise EOFError
        headers = {}
        while (line := self._file.readline()) not in {b"\r\n", b""}:
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        status = int(first.split()[1])
        length = 0 if head_only or status == 100 else int(headers["content-length"])
        return Reply(status, headers, self._file.read(length))

    def ended(self) -> bool:
        """Whether the server closed, with nothing more to say."""
        return self._file.read(1) == b""


def request(
    method: str, target: str, body: bytes = b"", headers: Sequence[str] = (), *, host: str = "host: test"
) -> bytes:
    """A request's bytes, with a content-length."""
    lines = [f"{method} {target} HTTP/1.1", host, *headers, f"content-length: {len(body)}"]
    return "\r\n".join(line for line in lines if line).encode("latin-1") + b"\r\n\r\n" + body


def ask(port: int, method: str, target: str, body: bytes = b"", headers: Sequence[str] = ()) -> Reply:
    """One request on a connection of its own."""
    with Client(port) as client:
        client.send(request(method, target, body, headers))
        return client.reply(head_only=method == "HEAD")


def infer_body(rows: Sequence[Sequence[float]], **extra: Any) -> bytes:
    """A request for the model `affine`."""
    flat = [value for row in rows for value in row]
    tensor = {"name": "x", "shape": [len(rows), 3], "datatype": "FP32", "data": flat}
    return json.dumps({"inputs": [tensor], **extra}).encode()


def busy_request(n: int, **more: Any) -> bytes:
    tensor = {"name": "n", "shape": [1], "datatype": "INT64", "data": [n]}
    return request("POST", "/v2/models/busy/infer", json.dumps({"inputs": [tensor], **more}).encode())

"""Two servers that accept from one socket: a burst is shared out, and who is alone takes all."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop
from tests.serving.harness import WAIT, Client, ask, request
from tests.serving.onnx_models import publish_affine

from onnxpress.serving import sockets
from onnxpress.serving.handler import handler_of
from onnxpress.serving.loads import Loads
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.service import Service
from onnxpress.serving.settings import Address, ServerSettings
from onnxpress.serving.transports.http import Server
from onnxpress.serving.transports.listening import Listening, listen_beside_others


class Accepting:
    """One of those who share, on a loop in a thread."""

    def __init__(self, service: Service, bound: list[socket.socket], loads: Loads) -> None:
        self._box: list[Any] = []
        self._left = False
        begun = threading.Event()

        async def main() -> None:
            stop = asyncio.Event()
            server = Server(handler_of(service, ServerSettings()), ServerSettings().limits)
            share = loads.share(loads.take())
            mine = [one.dup() for one in bound]
            listening = await listen_beside_others(Address(), server, mine, share)
            self._box.extend([asyncio.get_running_loop(), stop, server, listening])
            begun.set()
            await stop.wait()
            if not self._left:
                await listening.close()
            for connection in list(server.connections):
                connection.transport.abort()
            await asyncio.sleep(0.05)

        self._thread = threading.Thread(target=lambda: uvloop.run(main()))
        self._thread.start()
        assert begun.wait(WAIT)

    @property
    def connections(self) -> int:
        return len(self._box[2].connections)

    def close_listening(self) -> None:
        self._left = True
        loop, _, _, listening = self._box

        async def close(listening: Listening) -> None:
            await listening.close()

        asyncio.run_coroutine_threadsafe(close(listening), loop).result(WAIT)

    def block(self, seconds: float) -> None:
        """As a model that is run on the loop's thread."""
        self._box[0].call_soon_threadsafe(time.sleep, seconds)

    def stop(self) -> None:
        loop, stop, _, _ = self._box
        loop.call_soon_threadsafe(stop.set)
        self._thread.join(WAIT)


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[int, Accepting, Accepting]]:
    publish_affine(tmp_path)
    service = Service(Repository(tmp_path))
    service.repository.load()
    bound, loads = sockets.listening(Address(port=0)), Loads(2)
    found = [Accepting(service, bound, loads) for _ in range(2)]
    yield bound[0].getsockname()[1], found[0], found[1]
    for one in found:
        one.stop()
    for listener in bound:
        listener.close()
    service.repository.close()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_burst_is_shared_out(two: tuple[int, Accepting, Accepting]) -> None:
    port, one, other = two
    with contextlib.ExitStack() as stack:
        for _ in range(16):
            stack.enter_context(Client(port))
        wait_for(lambda: one.connections + other.connections == 16)
        assert min(one.connections, other.connections) >= 4, (one.connections, other.connections)


def test_who_has_more_takes_them_all_the_same_where_the_other_is_busy(two: tuple[int, Accepting, Accepting]) -> None:
    port, one, other = two
    with contextlib.ExitStack() as stack:
        other.block(3.0)
        time.sleep(0.05)
        begun = time.monotonic()
        for _ in range(20):
            client = stack.enter_context(Client(port))
            client.send(request("GET", "/v2/health/live"))
            assert client.reply().status == 200
        assert time.monotonic() - begun < 2.5
        assert one.connections == 20


def test_who_leaves_lets_the_other_have_all(two: tuple[int, Accepting, Accepting]) -> None:
    port, one, other = two
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(Client(port))
        wait_for(lambda: one.connections + other.connections == 4)
        other.close_listening()
        before = one.connections
        for _ in range(10):
            client = stack.enter_context(Client(port))
            client.send(request("GET", "/v2/health/live"))
            assert client.reply().status == 200
        assert one.connections == before + 10


def test_connections_that_come_and_go_are_all_answered(two: tuple[int, Accepting, Accepting]) -> None:
    port = two[0]
    for _ in range(200):
        assert ask(port, "GET", "/v2/health/live").status == 200

"""Floods of HTTP/2: how much of one is taken until it is cut, how much in one turn, and what comes behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from tests.serving.harness import Client, Running, running
from tests.serving.harness import request as http1
from tests.serving.http2_client import Frame, Http2Client, fields_of
from tests.serving.onnx_models import identity, plain

from onnxpress.serving.models.repository import Repository
from onnxpress.serving.service import Service
from onnxpress.serving.settings import ConnectionLimits
from onnxpress.serving.traffic import Traffic
from onnxpress.serving.transports.floods import LONGEST, PAUSE, Floods, address_of
from onnxpress.serving.transports.http2 import frames, hpack
from onnxpress.serving.transports.http2.connection import Http2Connection
from onnxpress.serving.transports.shared import Shared

HEAD = hpack.encoded(fields_of("POST", "/v2/models/scores/infer"))
PING = frames.frame(frames.PING, 0, 0, bytes(8))
SETTINGS = frames.settings({})


def reset(at: int) -> bytes:
    """A request that is taken back."""
    number = 2 * at + 1
    return frames.frame(frames.HEADERS, frames.END_HEADERS, number, HEAD) + frames.rst_stream(number, frames.CANCEL)


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("models")
    plain(folder, "scores", identity("float32", "n"))
    with running(Service(Repository(folder)), ConnectionLimits()) as found:
        yield found


def test_the_client_of_a_flood_is_told_and_others_are_answered(server: Running) -> None:
    for _ in range(3):
        with Http2Client(server.port) as client:
            try:
                for start in range(0, 50_000, 500):
                    client.send(b"".join(reset(at) for at in range(start, start + 500)))
            except OSError:
                pass
            while (found := client.frame()) is not None:
                if found.kind == frames.GOAWAY:
                    assert found.code == frames.ENHANCE_YOUR_CALM
                    break
        # On a new connection from the same address too.
        with Http2Client(server.port) as other:
            assert other.answer(other.ask("GET", "/v2")).status == 200
        with Client(server.port) as other_still:
            other_still.send(http1("GET", "/v2"))
            assert other_still.reply().status == 200


class Wire(asyncio.Transport):
    """Keeps what is written; nothing is sent."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.1", 5)})
        self.written, self.paused, self.closed = b"", False, False

    def write(self, data: Any) -> None:
        self.written += data

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def frames(self) -> list[Frame]:
        found, at = [], 0
        while at < len(self.written):
            size = int.from_bytes(self.written[at : at + 3], "big")
            head = self.written[at : at + 9]
            number = int.from_bytes(head[5:], "big")
            found.append(Frame(head[3], head[4], number, self.written[at + 9 : at + 9 + size]))
            at += 9 + size
        return found

    def count(self, kind: int) -> int:
        return sum(frame.kind == kind for frame in self.frames())


def shared() -> Shared:
    """For connections that nothing comes of."""
    nobody: Any = SimpleNamespace(traffic=Traffic(), headers_read=frozenset())
    return Shared(nobody, ConnectionLimits())


def begun(all_of_it: Shared, data: bytes = b"", wire: Wire | None = None) -> tuple[Http2Connection, Wire]:
    wire = wire or Wire()
    connection = Http2Connection(all_of_it, set(), lambda: None, wire)
    connection.begin(SETTINGS + data)
    return connection, wire


async def taken(everything: Shared, count: int = 2000) -> tuple[int, Wire, Http2Connection]:
    """How many requests are read of so many that are taken back."""
    connection, wire = begun(everything, b"".join(reset(at) for at in range(count)))
    while wire.paused and not wire.closed:
        await asyncio.sleep(0)
    goaway = [frame for frame in wire.frames() if frame.kind == frames.GOAWAY]
    assert [frame.code for frame in goaway] == [frames.ENHANCE_YOUR_CALM] * wire.closed
    last = int.from_bytes(goaway[0].payload[:4], "big") if goaway else 2 * count - 1
    return (last + 1) // 2, wire, connection


def test_the_next_flood_from_an_address_is_cut_sooner() -> None:
    async def cut() -> list[int]:
        everything = shared()
        found = [(await taken(everything))[0], (await taken(everything))[0]]
        assert everything.floods is not None
        assert set(everything.floods.addresses) == {b"192.0.2.1"}
        return found

    assert asyncio.run(cut()) == [1000, 500]


@pytest.mark.parametrize(("count", "known"), [(700, False), (800, True)])
def test_who_leaves_just_before_it_is_cut_is_known_too(count: int, known: bool) -> None:
    async def left() -> bool:
        everything = shared()
        number, wire, connection = await taken(everything, count)
        assert (number, wire.closed) == (count, False)
        connection.connection_lost(None)
        return everything.floods is not None

    assert asyncio.run(left()) is known


def test_one_turn_reads_little_from_who_takes_no_answers() -> None:
    """All its answers wait for a window that is 0, and each cost as much as any."""

    async def turns() -> list[int]:
        asked = hpack.encoded(fields_of("GET", "/v2"))
        handler: Any = SimpleNamespace(
            traffic=Traffic(),
            headers_read=frozenset(),
            submit=lambda method, path, body, exchange, alone: exchange.respond(200, b"{}"),
        )
        wire = Wire()
        connection = Http2Connection(Shared(handler, ConnectionLimits()), set(), lambda: None, wire)
        opened = [frames.frame(frames.HEADERS, 5, 2 * at + 1, asked) for at in range(100)]
        connection.begin(frames.settings({frames.INITIAL_WINDOW_SIZE: 0}) + b"".join(opened))
        found = []
        while wire.paused:
            found.append(wire.count(frames.HEADERS))
            await asyncio.sleep(0)
        connection.data_received(frames.settings({frames.INITIAL_WINDOW_SIZE: 1000}))
        assert wire.count(frames.DATA) == 100
        return found

    assert asyncio.run(turns()) == list(range(8, 100, 8))


def test_others_have_their_turn_within_a_flood() -> None:
    async def turns() -> list[int]:
        _, wire = begun(shared(), PING * 1000)
        found = []
        while wire.paused:
            found.append(wire.count(frames.PING))
            await asyncio.sleep(0)
        return [*found, wire.count(frames.PING)]

    found = asyncio.run(turns())
    assert found[-1] == 1000
    assert len(found) > 8  # 100 pings in each, and not all at once
    assert max(after - before for before, after in zip([0, *found], found, strict=False)) <= 101


def test_what_comes_while_the_rest_waits_is_read_behind_it() -> None:
    async def told() -> tuple[list[bytes], bool]:
        pings = [frames.frame(frames.PING, 0, 0, at.to_bytes(8, "big")) for at in range(400)]
        connection, wire = begun(shared(), b"".join(pings[:300]) + pings[300][:5])
        assert wire.paused
        connection.data_received(pings[300][5:] + b"".join(pings[301:]))  # TLS may have some still
        while wire.paused:
            await asyncio.sleep(0)
        return [frame.payload for frame in wire.frames() if frame.kind == frames.PING], wire.closed

    assert asyncio.run(told()) == ([at.to_bytes(8, "big") for at in range(400)], False)


def test_a_connection_that_ends_while_its_rest_waits_is_forgotten() -> None:
    async def ended() -> int:
        connection, wire = begun(shared(), PING * 1000)
        wire.close()
        connection.connection_lost(None)
        before = wire.count(frames.PING)
        for _ in range(3):
            await asyncio.sleep(0)
        assert wire.paused  # and nothing was asked of a transport that is gone
        return wire.count(frames.PING) - before

    assert asyncio.run(ended()) == 0


def test_new_ones_from_where_floods_came_wait_for_their_turn_and_others_do_not() -> None:
    async def waiting() -> tuple[list[bool], bool]:
        everything = shared()
        everything.floods = Floods()
        everything.floods.cut(b"192.0.2.1")
        here = [begun(everything, PING)[1] for _ in range(40)]
        elsewhere = Wire()
        elsewhere.get_extra_info = lambda name, default=None: ("192.0.2.2", 5)  # type: ignore[method-assign]
        begun(everything, PING, elsewhere)
        assert here[0].count(frames.PING) == 1
        assert all(wire.written for wire in here if not wire.closed)  # our settings come at once
        assert [wire.count(frames.PING) for wire in here[1:]] == [0] * 39
        while here[1].paused:
            await asyncio.sleep(PAUSE)
        assert here[1].count(frames.PING) == 1
        return [wire.closed for wire in here], bool(elsewhere.count(frames.PING))

    closed, other = asyncio.run(waiting())
    assert other
    line = round(LONGEST / PAUSE)
    assert not any(closed[:line])
    assert all(closed[line + 2 :])


def test_floods_are_forgotten() -> None:
    floods = Floods()
    for _ in range(4):
        floods.cut(b"there")
    ticks = 0
    while floods.addresses:
        floods.tick()
        ticks += 1
    assert ticks == 4
    assert floods.wait(b"there", 1.0) == 0
    for number in range(5000):
        floods.cut(b"%d" % number)
    assert len(floods.addresses) <= 1024


def test_an_address_is_what_a_client_cannot_choose() -> None:
    assert address_of(("10.0.0.1", 5)) == address_of(("10.0.0.1", 6)) != address_of(("10.0.0.2", 5))
    assert address_of(("2001:db8::1", 5, 0, 0)) == address_of(("2001:db8::9", 5, 0, 0))
    assert address_of(("2001:db8:1::1", 5, 0, 0)) != address_of(("2001:db8:2::1", 5, 0, 0))
    assert address_of(("fe80::1%eth0", 5, 0, 2)) == address_of(("fe80::2%eth0", 5, 0, 2))
    assert address_of(("::ffff:10.0.0.1", 5, 0, 0)) != address_of(("::ffff:10.0.0.2", 5, 0, 0))
    assert address_of("") == address_of(None) == b""

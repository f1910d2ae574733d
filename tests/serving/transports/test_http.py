"""HTTP/1.1 through real sockets: framing, limits, order, pressure, and what is refused."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop
from tests.serving.publishing import publish

from onnxpress.serving.handler import handler_of
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.service import Service
from onnxpress.serving.settings import ConnectionLimits, ServerSettings
from onnxpress.serving.transports.http import Server

BODY = json.dumps({"inputs": [{"name": "row", "shape": [1], "datatype": "INT64", "data": [3]}]}).encode()
INFER = b"/v2/models/table/infer"


class Running:
    """A server in a thread of this process, with short limits."""

    def __init__(self, path: Path, limits: ConnectionLimits, loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self._repository = Repository(path)
        self._repository.load()
        self.server: Server
        self.port = 0
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop

        def run() -> None:
            with asyncio.Runner(loop_factory=loop) as runner:
                runner.run(self._main(limits))

        self._thread = threading.Thread(target=run)
        self._thread.start()
        assert self._ready.wait(60)

    async def _main(self, limits: ConnectionLimits) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self.server = Server(handler_of(Service(self._repository), ServerSettings(limits=limits)), limits)
        listener = await self._loop.create_server(self.server.connection, "127.0.0.1", 0)
        self.port = listener.sockets[0].getsockname()[1]
        self.server.tick()
        self._ready.set()
        await self._stop.wait()
        listener.close()
        self.server.stop()
        await asyncio.sleep(0)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)
        self._repository.close()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)


# asyncio's own loop serves on Windows.
@pytest.fixture(scope="module", params=[uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("repository")
    for name in ("tiny", "table", "echo"):
        publish(folder, name)
    limits = ConnectionLimits(
        max_body=20_000, max_head=4096, max_connections=50, idle_timeout=2, request_timeout=1, linger=1
    )
    server = Running(folder, limits, request.param)
    yield server
    server.stop()


def request(target: bytes = INFER, body: bytes = BODY, *, method: bytes = b"POST", head: bytes = b"") -> bytes:
    length = b"content-length: %d\r\n" % len(body) if body else b""
    return b"%b %b HTTP/1.1\r\nhost: h\r\n%b%b\r\n%b" % (method, target, length, head, body)


class Client:
    """Reads responses one by one from a socket."""

    def __init__(self, server: Running) -> None:
        self.socket = server.connect()
        self._file = self.socket.makefile("rb")

    def send(self, data: bytes) -> Client:
        self.socket.sendall(data)
        return self

    def read(self, *, without_body: bool = False) -> tuple[int, dict[str, str], Any]:
        status = int(self._file.readline().split()[1])
        headers = {}
        while (line := self._file.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        body = b"" if without_body or status == 100 else self._file.read(int(headers["content-length"]))
        return status, headers, json.loads(body) if body else None

    def ended(self) -> bool:
        return self._file.read(1) == b""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.socket.close()


def answer_is(answer: tuple[int, dict[str, str], Any], value: float) -> bool:
    return answer[0] == 200 and answer[2]["outputs"][0]["data"] == [value]


def test_keep_alive_serves_one_request_after_the_other(running: Running) -> None:
    with Client(running) as client:
        for _ in range(5):
            status, headers, body = client.send(request()).read()
            assert (status, headers["content-type"]) == (200, "application/json")
            assert body["outputs"] == [{"name": "value", "datatype": "FP32", "shape": [1], "data": [30.0]}]


def test_connection_close_is_obeyed(running: Running) -> None:
    with Client(running) as client:
        status, headers, _ = client.send(request(head=b"connection: close\r\n")).read()
        assert (status, headers["connection"]) == (200, "close")
        assert client.ended()


def test_http_1_0_needs_no_host_and_ends(running: Running) -> None:
    with Client(running) as client:
        assert client.send(b"GET /v2/health/live HTTP/1.0\r\n\r\n").read()[0] == 200
        assert client.ended()


def test_http_1_0_goes_on_where_that_is_asked_for_and_is_told_so(running: Running) -> None:
    asked = b"GET /v2/health/live HTTP/1.0\r\nconnection: keep-alive\r\n\r\n"
    infer = request(head=b"connection: keep-alive\r\n").replace(b"HTTP/1.1", b"HTTP/1.0")
    with Client(running) as client:
        for _ in range(3):  # the first is parsed, the others are known
            status, headers, _ = client.send(asked).read()
            assert (status, headers["connection"]) == (200, "keep-alive")
            found = client.send(infer).read()
            assert answer_is(found, 30)
            assert found[1]["connection"] == "keep-alive"
        status, headers, _ = client.send(b"GET /none HTTP/1.0\r\nconnection: keep-alive\r\n\r\n").read()
        assert (status, headers["connection"]) == (404, "keep-alive")
        # The same bytes in the newer version need no such word.
        assert "connection" not in client.send(request(head=b"connection: keep-alive\r\n")).read()[1]
        assert client.send(b"GET /v2/health/live HTTP/1.0\r\n\r\n").read()[1]["connection"] == "close"
        assert client.ended()


@pytest.mark.parametrize(("version", "status"), [(b"HTTP/2.0", 505), (b"HTTP/0.9", 400), (b"HTTP/3.0", 400)])
def test_other_versions_are_refused(running: Running, version: bytes, status: int) -> None:
    for data in (request(), request(head=b"connection: upgrade\r\nupgrade: h2c\r\n")):
        with Client(running) as client:
            found, headers, body = client.send(data.replace(b"HTTP/1.1", version)).read()
            assert (found, headers["connection"], list(body)) == (status, "close", ["error"])
            client.socket.shutdown(socket.SHUT_WR)
            assert client.ended()


def test_every_answer_has_the_date(running: Running) -> None:
    with Client(running) as client:
        for data in (request(), request(b"/none"), request(b"/v2", b"", method=b"GET"), b"no\r\n\r\n"):
            headers = client.send(data).read()[1]
            told = parsedate_to_datetime(headers["date"])
            assert abs((told - datetime.now(UTC)).total_seconds()) < 5


def test_pipelined_requests_are_answered_in_order(running: Running) -> None:
    targets = [b"/v2", b"/v2/models/table/infer", b"/nowhere", b"/v2/models/tiny", b"/v2/models/table/infer"] * 40
    data = b"".join(request(t) if t == INFER else request(t, b"", method=b"GET") for t in targets)
    with Client(running) as client:
        client.send(data)
        for target in targets:
            status, _, body = client.read()
            assert status == (404 if target == b"/nowhere" else 200)
            if target == b"/v2":
                assert body["name"] == "onnxpress"
            elif target == INFER:
                assert body["model_name"] == "table"


@pytest.mark.parametrize("size", [1, 7, 64])
def test_requests_in_pieces(running: Running, size: int) -> None:
    data = request() * 3  # the second and third are of a head already known
    with Client(running) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(data), size):
            client.send(data[start : start + size])
        assert all(answer_is(client.read(), 30) for _ in range(3))


def test_known_head_with_its_body_in_pieces(running: Running) -> None:
    data = request()
    with Client(running) as client:
        assert answer_is(client.send(data).read(), 30)
        for cut in (len(data) - 1, len(data) - len(BODY), len(data) - len(BODY) + 1):
            client.send(data[:cut])
            assert answer_is(client.send(data[cut:] + data[:cut]).read(), 30)
            assert answer_is(client.send(data[cut:]).read(), 30)


def test_chunked_body(running: Running) -> None:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (BODY[:10], BODY[10:])) + b"0\r\n\r\n"
    head = b"POST %b HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n" % INFER
    with Client(running) as client:
        for _ in range(2):
            assert answer_is(client.send(head + chunks).read(), 30)


def test_expect_100_continue(running: Running) -> None:
    data = request(head=b"expect: 100-continue\r\n")
    with Client(running) as client:
        client.send(data[: -len(BODY)])
        assert client.read()[0] == 100
        assert answer_is(client.send(BODY).read(), 30)


def test_head_has_the_length_and_no_body(running: Running) -> None:
    with Client(running) as client:
        status, headers, _ = client.send(request(b"/v2", b"", method=b"HEAD")).read(without_body=True)
        assert status == 200
        assert int(headers["content-length"]) > 0
        assert client.send(request(b"/v2", b"", method=b"GET")).read()[0] == 200


@pytest.mark.parametrize("body", [b"", BODY])
def test_an_offer_to_upgrade_is_declined_by_answering(running: Running, body: bytes) -> None:
    offer = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"
    first = request(body=body, head=offer) if body else request(b"/v2", b"", method=b"GET", head=offer)
    with Client(running) as client:
        assert client.send(first + request()).read()[0] == 200
        assert answer_is(client.read(), 30)
        assert client.send(first[:-5]).send(first[-5:]).read()[0] == 200


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request(body=b"x" * 20_001), 413),
        (request(head=b"content-length: 10\r\n"), 400),
        (request(head=b"transfer-encoding: chunked\r\n"), 400),
        (request(head=b"Content-Length: 1\r\nTransfer-Encoding: identity\r\n"), 400),
        (request(body=b"", head=b"transfer-encoding: gzip, chunked\r\n"), 501),
        (request(body=b"", head=b"transfer-encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400),
        (request(body=b"", head=b"content-length: -5\r\n"), 400),
        (request(body=b"", head=b"content-length: 5, 5\r\n"), 400),
        (request(body=b"", head=b"content-length: 99999999999999999999999\r\n"), 400),
        (request(head=b"content-length : 5\r\n"), 400),
        (request(head=b" folded: 5\r\n"), 400),
        (request(head=b"host: other\r\n"), 400),
        (b"GET /v2 HTTP/1.1\r\n\r\n", 400),
        (b"GET /v2 HTTP/1.1\nhost: h\n\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (request(head=b"expect: miracles\r\n"), 417),
        (request(head=b"x-long: " + b"x" * 5000 + b"\r\n"), 431),
        (b"GET /" + b"x" * 5000, 431),
        (b"GET /v2 HTTP/1.1\r\nhost: h\r\nx-long: " + b"x" * 5000, 431),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_and_the_connection_ended(running: Running, data: bytes, status: int) -> None:
    with Client(running) as client:
        found, headers, body = client.send(data).read()
        assert (found, headers["connection"], list(body)) == (status, "close", ["error"])
        client.socket.shutdown(socket.SHUT_WR)
        assert client.ended()
    with Client(running) as client:
        assert answer_is(client.send(request()).read(), 30)


def test_chunked_body_over_the_limit(running: Running) -> None:
    head = b"POST %b HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n" % INFER
    with Client(running) as client:
        client.send(head + b"5000\r\n" + b"x" * 0x5000 + b"\r\n" + b"5000\r\n" + b"x" * 0x5000)
        assert client.read()[0] == 413


def test_the_refusal_of_a_large_body_reaches_a_client_that_goes_on_sending(running: Running) -> None:
    """Without lingering, the kernel would reset the connection and throw the answer away."""
    with Client(running) as client:
        client.send(request(body=b"x" * 2_000_000))
        assert client.read()[0] == 413


def test_mistakes_in_a_request_leave_the_connection_open(running: Running) -> None:
    with Client(running) as client:
        for target, body, status in (
            (INFER, b"{", 400),
            (INFER, BODY.replace(b"INT64", b"FP32"), 400),
            (INFER, BODY.replace(b"[1]", b"[2]"), 400),
            (INFER, BODY.replace(b"row", b"col"), 400),
            (INFER, BODY.replace(b"[3]", b"[77]"), 400),
            (b"/v2/models/none/infer", BODY, 404),
            (b"/v2/models/table/versions/9/infer", BODY, 404),
            (b"/v2/models/table/infer/x", BODY, 404),
            (b"/v2", BODY, 405),
        ):
            found, _, answer = client.send(request(target, body)).read()
            assert (found, list(answer)) == (status, ["error"])
        assert answer_is(client.send(request()).read(), 30)


def test_a_slow_request_is_cut_and_an_idle_connection_ended(running: Running) -> None:
    with Client(running) as slow, Client(running) as slow_body, Client(running) as idle:
        slow.send(request()[:20])
        slow_body.send(request()).read()
        slow_body.send(request()[:-5])
        assert slow.read()[0] == 408
        assert slow_body.read()[0] == 408
        assert idle.ended()


def test_a_client_that_does_not_read_is_not_read_from(running: Running) -> None:
    target = b"/v2/models/echo"
    with running.connect() as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.setblocking(False)
        data, sent = request(target, b"", method=b"GET") * 100, 0
        for _ in range(20_000):
            try:
                sent += lazy.send(data)
            except BlockingIOError:
                with Client(running) as other:  # the server goes on meanwhile
                    assert answer_is(other.send(request()).read(), 30)
                break
        else:
            pytest.fail(f"the server took {sent} bytes of requests without an answer being read")
        connections = running.server.connections
        # It is cut when it has not read for the time that a request may take.
        for _ in range(100):
            if not any(
                connection.busy or connection.transport.get_write_buffer_size() for connection in list(connections)
            ):
                break
            threading.Event().wait(0.1)
        else:
            pytest.fail("a client that never reads was never cut")


def test_more_connections_than_allowed_are_refused(running: Running) -> None:
    for _ in range(100):  # until the connections of the tests before are gone
        if not running.server.connections:
            break
        threading.Event().wait(0.1)
    clients = [Client(running) for _ in range(50)]
    try:
        for client in clients:
            assert client.send(request(b"/v2/health/live", b"", method=b"GET")).read()[0] == 200
        with Client(running) as client:
            status, headers, _ = client.read()
            assert (status, headers["retry-after"]) == (503, "1")
            assert client.ended()
    finally:
        for client in clients:
            client.__exit__()


def test_many_clients_at_once_get_their_own_answers(running: Running) -> None:
    def ask(number: int) -> bool:
        body = BODY.replace(b"[3]", b"[%d]" % (number % 5))
        with Client(running) as client:
            return all(answer_is(client.send(request(body=body)).read(), number % 5 * 10) for _ in range(20))

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(32)))


def test_a_client_that_leaves_before_its_answer_harms_nobody(running: Running) -> None:
    for _ in range(20):  # fewer than may be open, as the server may hear of the leaving late
        with running.connect() as gone:
            gone.sendall(request() * 3)
    with Client(running) as client:
        assert answer_is(client.send(request()).read(), 30)


def test_every_datatype_through_the_wire(running: Running) -> None:
    with Client(running) as client:
        specs = client.send(request(b"/v2/models/echo", b"", method=b"GET")).read()[2]["inputs"]
        sent: dict[str, list[Any]] = {"BOOL": [True, False], "BYTES": ["a", "☃"]}
        tensors = [spec | {"shape": [1, 2], "data": sent.get(spec["datatype"], [1, 2])} for spec in specs]
        status, _, body = client.send(
            request(b"/v2/models/echo/infer", msgspec.json.encode({"inputs": tensors}))
        ).read()
        assert status == 200
        assert [output["data"] for output in body["outputs"]] == [tensor["data"] for tensor in tensors]
        assert [output["datatype"] for output in body["outputs"]] == [spec["datatype"] for spec in specs]

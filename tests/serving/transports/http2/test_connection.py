"""HTTP/2 over a socket: the REST routes, windows, what is against the RFC, floods, and the end."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import pytest
from tests.serving.harness import Client, Running, running, wait_until
from tests.serving.harness import request as http1
from tests.serving.http2_client import PREFACE, Http2Client, fields_of, request
from tests.serving.onnx_models import identity, plain

from onnxpress.serving.models.repository import Repository
from onnxpress.serving.service import Service
from onnxpress.serving.settings import ConnectionLimits
from onnxpress.serving.transports.http2 import frames, hpack

INFER = "/v2/models/scores/infer"
MAX_BODY, MAX_HEAD = 3 << 20, 1024


def body_of(count: int) -> bytes:
    return json.dumps({"inputs": [{"name": "x", "shape": [count], "datatype": "FP32", "data": [0.5] * count}]}).encode()


def values(body: bytes) -> list[float]:
    found: list[float] = json.loads(body)["outputs"][0]["data"]
    return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("models")
    plain(folder, "scores", identity("float32", "n"))
    limits = ConnectionLimits(max_body=MAX_BODY, max_head=MAX_HEAD)
    with running(Service(Repository(folder)), limits) as found:
        yield found


@pytest.fixture
def client(server: Running) -> Iterator[Http2Client]:
    with Http2Client(server.port) as found:
        yield found


def headers(number: int, fields: Sequence[tuple[bytes, bytes]], flags: int) -> bytes:
    return frames.frame(frames.HEADERS, flags, number, hpack.encoded(list(fields)))


GET = fields_of("GET", "/v2")
WHOLE = frames.END_HEADERS | frames.END_STREAM


def test_routes_answer_on_one_connection_as_over_http1(server: Running, client: Http2Client) -> None:
    assert client.answer(client.ask("GET", "/v2/health/live")).body == b'{"live":true}'
    for _ in range(2):
        answer = client.answer(client.ask("POST", INFER, body_of(3)))
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
        assert int(answer.headers["content-length"]) == len(answer.body)
        assert values(answer.body) == [0.5] * 3
    missing = client.answer(client.ask("GET", "/v2/models/none"))
    assert missing.status == 404
    with Client(server.port) as other:
        other.send(http1("GET", "/v2/models/none"))
        assert other.reply().body == missing.body
    head = client.answer(client.ask("HEAD", "/v2"))
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["content-length"]) > 0


def test_the_preface_may_come_in_pieces(server: Running) -> None:
    whole = PREFACE + frames.settings({}) + request(1, "GET", "/v2/health/live")
    client = Http2Client.__new__(Http2Client)
    client.socket = Client(server.port).socket
    client._file, client._decoder = client.socket.makefile("rb"), hpack.Decoder(1000)
    with client:
        for place in range(len(whole)):
            client.send(whole[place : place + 1])
        assert client.answer(1).status == 200


def test_streams_are_answered_beside_each_other(client: Http2Client) -> None:
    client.send(headers(1, fields_of("POST", INFER), frames.END_HEADERS))
    client._next = 3
    assert client.answer(client.ask("GET", "/v2")).status == 200  # the first one is not whole
    client.send(frames.frame(frames.DATA, frames.END_STREAM, 1, body_of(2)))
    assert values(client.answer(1).body) == [0.5] * 2


def test_large_bodies_go_through_the_windows_both_ways(client: Http2Client) -> None:
    body = body_of(300_000)
    assert len(body) > frames.WINDOW * 16
    number = client.ask("POST", INFER, body)  # the server gives its windows back as it reads
    found = b""
    while True:
        frame = client.until(frames.HEADERS, frames.DATA, frames.RST_STREAM, frames.GOAWAY)
        assert frame.kind in (frames.HEADERS, frames.DATA), frame
        found += frame.payload if frame.kind == frames.DATA else b""
        if frame.flags & frames.END_STREAM:
            break
        if frame.kind == frames.DATA:
            size = len(frame.payload)
            client.send(frames.window_update(0, size) + frames.window_update(number, size))
    assert values(found) == [0.5] * 300_000


def test_an_answer_of_several_frames_is_sent_at_once(client: Http2Client) -> None:
    for _ in range(3):
        answer = client.answer(client.ask("POST", INFER, body_of(5000)))
        assert frames.PAYLOAD < len(answer.body) < frames.WINDOW // 3
        assert values(answer.body) == [0.5] * 5000


def test_an_answer_waits_for_its_window(server: Running) -> None:
    with Http2Client(server.port, {frames.INITIAL_WINDOW_SIZE: 0}) as client:
        client.ask("GET", "/v2/health/live")
        assert client.until(frames.HEADERS).flags == frames.END_HEADERS
        client.send(frames.frame(frames.PING, 0, 0, b"12345678"))
        assert client.until(frames.DATA, frames.PING).kind == frames.PING
        client.send(frames.window_update(1, 4))
        assert client.until(frames.DATA).payload == b'{"li'
        client.send(frames.settings({frames.INITIAL_WINDOW_SIZE: 100}))
        last = client.until(frames.DATA)
        assert (last.payload, last.flags) == (b've":true}', frames.END_STREAM)


def test_pads_priorities_and_continuations_are_taken(client: Http2Client) -> None:
    block = hpack.encoded(GET)
    padded = b"\3" + b"\0\0\0\0\x10" + block[:5] + b"\0" * 3
    flags = frames.PADDED | frames.WITH_PRIORITY | frames.END_STREAM
    client.send(
        frames.frame(frames.HEADERS, flags, 1, padded)
        + frames.frame(frames.CONTINUATION, 0, 1, block[5:7])
        + frames.frame(frames.CONTINUATION, frames.END_HEADERS, 1, block[7:])
        + frames.frame(frames.PRIORITY, 0, 1, b"\0\0\0\5\x10")
        + frames.frame(99, 255, 1, b"what nobody knows")
    )
    assert client.answer(1).status == 200
    body = body_of(1)
    client.send(headers(3, fields_of("POST", INFER), frames.END_HEADERS))
    client.send(frames.frame(frames.DATA, frames.PADDED, 3, b"\2" + body + b"\0\0"))
    client.send(headers(3, [(b"x-sum", b"1")], WHOLE))
    assert values(client.answer(3).body) == [0.5]


OPEN = headers(1, fields_of("POST", INFER), frames.END_HEADERS)
ANSWERED = request(1, "GET", "/v2")
FAULTS = {
    "a frame too large": (frames.frame(frames.DATA, 0, 1, bytes(16385)), frames.FRAME_SIZE_ERROR),
    "DATA of no stream": (frames.frame(frames.DATA, 0, 0, b"x"), frames.PROTOCOL_ERROR),
    "DATA before HEADERS": (frames.frame(frames.DATA, 0, 1, b"x"), frames.PROTOCOL_ERROR),
    "an even stream": (headers(2, GET, WHOLE), frames.PROTOCOL_ERROR),
    "HEADERS again": (ANSWERED + headers(1, GET, WHOLE), frames.STREAM_CLOSED),
    "DATA behind the end": (ANSWERED + frames.frame(frames.DATA, 0, 1, b"x"), frames.STREAM_CLOSED),
    "a stream below": (request(3, "GET", "/v2") + headers(1, GET, WHOLE), frames.STREAM_CLOSED),
    "more padding than frame": (OPEN + frames.frame(frames.DATA, frames.PADDED, 1, b"\5abc"), frames.PROTOCOL_ERROR),
    "a block interrupted": (
        frames.frame(frames.HEADERS, 0, 1, hpack.encoded(GET)) + frames.frame(frames.PING, 0, 0, bytes(8)),
        frames.PROTOCOL_ERROR,
    ),
    "CONTINUATION of nothing": (frames.frame(frames.CONTINUATION, 4, 1, b""), frames.PROTOCOL_ERROR),
    "no HPACK": (frames.frame(frames.HEADERS, WHOLE, 1, b"\x80"), frames.COMPRESSION_ERROR),
    "RST_STREAM of a wrong length": (OPEN + frames.frame(frames.RST_STREAM, 0, 1, b"x"), frames.FRAME_SIZE_ERROR),
    "RST_STREAM of nothing": (frames.rst_stream(1, 8), frames.PROTOCOL_ERROR),
    "SETTINGS on a stream": (frames.frame(frames.SETTINGS, 0, 1, b""), frames.PROTOCOL_ERROR),
    "SETTINGS of a wrong length": (frames.frame(frames.SETTINGS, 0, 0, b"x"), frames.FRAME_SIZE_ERROR),
    "an acknowledgement that says something": (
        frames.frame(frames.SETTINGS, frames.ACK, 0, bytes(6)),
        frames.FRAME_SIZE_ERROR,
    ),
    "ENABLE_PUSH of 2": (frames.settings({frames.ENABLE_PUSH: 2}), frames.PROTOCOL_ERROR),
    "a small MAX_FRAME_SIZE": (frames.settings({frames.MAX_FRAME_SIZE: 100}), frames.PROTOCOL_ERROR),
    "a window of 2^31": (frames.settings({frames.INITIAL_WINDOW_SIZE: 1 << 31}), frames.FLOW_CONTROL_ERROR),
    "a window that overflows": (frames.window_update(0, frames.MOST), frames.FLOW_CONTROL_ERROR),
    "a stream's window that overflows": (OPEN + frames.window_update(1, frames.MOST), frames.FLOW_CONTROL_ERROR),
    "a window that grows by 0": (frames.window_update(0, 0), frames.PROTOCOL_ERROR),
    "a stream's window that grows by 0": (OPEN + frames.window_update(1, 0), frames.PROTOCOL_ERROR),
    "a window of nothing": (frames.window_update(1, 1), frames.PROTOCOL_ERROR),
    "WINDOW_UPDATE of a wrong length": (frames.frame(frames.WINDOW_UPDATE, 0, 0, b"x"), frames.FRAME_SIZE_ERROR),
    "PING of a wrong length": (frames.frame(frames.PING, 0, 0, b"x"), frames.FRAME_SIZE_ERROR),
    "PING on a stream": (frames.frame(frames.PING, 0, 1, bytes(8)), frames.PROTOCOL_ERROR),
    "GOAWAY on a stream": (frames.frame(frames.GOAWAY, 0, 1, bytes(8)), frames.PROTOCOL_ERROR),
    "PRIORITY of a wrong length": (frames.frame(frames.PRIORITY, 0, 1, b"x"), frames.FRAME_SIZE_ERROR),
    "PRIORITY of itself": (frames.frame(frames.PRIORITY, 0, 1, b"\0\0\0\1\1"), frames.PROTOCOL_ERROR),
    "a push": (frames.frame(frames.PUSH_PROMISE, 4, 1, b"\0\0\0\2"), frames.PROTOCOL_ERROR),
    "trailers that end nothing": (OPEN + headers(1, [(b"a", b"b")], frames.END_HEADERS), frames.PROTOCOL_ERROR),
    "pseudo headers in trailers": (OPEN + headers(1, [(b":path", b"b")], WHOLE), frames.PROTOCOL_ERROR),
    "another length": (
        headers(1, [*fields_of("POST", INFER), (b"content-length", b"2")], frames.END_HEADERS)
        + frames.frame(frames.DATA, 1, 1, b"x"),
        frames.PROTOCOL_ERROR,
    ),
}
MALFORMED: dict[str, list[tuple[bytes, bytes]]] = {
    "upper case": [*GET, (b"Accept", b"*/*")],
    "a header of HTTP/1.1": [*GET, (b"connection", b"close")],
    "te": [*GET, (b"te", b"gzip")],
    "an unknown pseudo header": [(b":x", b"1"), *GET],
    "a pseudo header behind others": [(b"a", b"b"), *GET],
    "a pseudo header twice": [*GET, *GET[:1]],
    "no path": [field for field in GET if field[0] != b":path"],
    "an empty path": [(name, b"" if name == b":path" else value) for name, value in GET],
    "no method": GET[1:],
    "no scheme": [field for field in GET if field[0] != b":scheme"],
    "a line end in a value": [*GET, (b"a", b"b\r\nc: d")],
    "a blank before a value": [*GET, (b"a", b" b")],
    "the method that stands for gRPC": [(b":method", b"GRPC"), *GET[1:]],
    "two lengths": [*GET, (b"content-length", b"1"), (b"content-length", b"2")],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_against_the_rfc_is_said_by_its_code(client: Http2Client, fault: str) -> None:
    data, code = FAULTS[fault]
    client.send(data)
    assert client.error() == code


@pytest.mark.parametrize("fault", MALFORMED)
def test_what_is_no_request_is_reset_and_the_connection_goes_on(client: Http2Client, fault: str) -> None:
    client.send(headers(1, MALFORMED[fault], WHOLE))
    reset = client.until(frames.RST_STREAM, frames.GOAWAY)
    assert (reset.kind, reset.code) == (frames.RST_STREAM, frames.PROTOCOL_ERROR)
    client._next = 3
    assert client.answer(client.ask("GET", "/v2")).status == 200


def test_what_is_too_large_is_refused_and_the_connection_goes_on(client: Http2Client) -> None:
    long = client.answer(client.ask("GET", "/v2", headers=[("x", "y" * MAX_HEAD)]))
    assert long.status == 431
    client.send(headers(3, fields_of("POST", INFER), frames.END_HEADERS))
    client._next = 5
    answer = None
    sent = 0
    while sent <= MAX_BODY:  # as the windows allow it
        client.send(b"".join(frames.frame(frames.DATA, 0, 3, bytes(16384)) for _ in range(32)))
        sent += 32 * 16384
        if sent <= MAX_BODY:
            client.until(frames.WINDOW_UPDATE)
    answer = client.answer(3)
    assert answer.status == 413
    reset = client.until(frames.RST_STREAM)
    assert (reset.stream, reset.code) == (3, frames.NO_ERROR)
    assert client.answer(client.ask("GET", "/v2")).status == 200


def test_a_client_may_have_so_many_streams_open(client: Http2Client) -> None:
    for number in range(1, 1 + 2 * 128, 2):
        client.send(headers(number, fields_of("POST", INFER), frames.END_HEADERS))
    client.send(headers(257, GET, WHOLE))
    assert client.error() == frames.REFUSED_STREAM
    client.send(frames.rst_stream(1, frames.CANCEL) + headers(259, GET, WHOLE))
    assert client.answer(259).status == 200


FLOODS = {
    "rapid reset": lambda at: headers(2 * at + 1, fields_of("POST", INFER), 4) + frames.rst_stream(2 * at + 1, 8),
    "settings": lambda at: frames.settings({}),
    "pings": lambda at: frames.frame(frames.PING, 0, 0, bytes(8)),
    "empty data": lambda at: frames.frame(frames.DATA, 0, 1, b"") if at else OPEN,
    "priorities": lambda at: frames.frame(frames.PRIORITY, 0, 1, b"\0\0\0\5\1"),
    "windows": lambda at: frames.window_update(0, 1),
    "refused streams": lambda at: headers(2 * at + 1, fields_of("POST", INFER), 4),
    "continuations": lambda at: frames.frame(frames.CONTINUATION if at else frames.HEADERS, 0, 1, b""),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_ends_its_connection_and_others_are_answered(server: Running, client: Http2Client, flood: str) -> None:
    frame = FLOODS[flood]
    with Http2Client(server.port) as other:
        try:
            for start in range(0, 60_000, 1000):
                client.send(b"".join(frame(at) for at in range(start, start + 1000)))
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert other.answer(other.ask("GET", "/v2")).status == 200
    while (found := client.frame()) is not None:
        if found.kind == frames.GOAWAY:
            assert found.code == frames.ENHANCE_YOUR_CALM
    assert server.call(lambda: server.server.shared.held.taken) == 0


def test_many_small_bodies_of_one_connection_count_together(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Each is too small to count alone; 100 of them, cut off before their end, are 6 MB for one connection."""
    folder = tmp_path_factory.mktemp("models")
    plain(folder, "scores", identity("float32", "n"))
    part = b" " * 16_000
    with running(Service(Repository(folder)), ConnectionLimits(max_held=1 << 20)) as server:
        with Http2Client(server.port) as client:
            for number in range(1, 201, 2):
                client.send(headers(number, fields_of("POST", INFER), frames.END_HEADERS))
                client.send(frames.frame(frames.DATA, 0, number, part) * 3)
            client.send(frames.frame(frames.PING, 0, 0, b"12345678"))
            refused = 0
            while client.until(frames.HEADERS, frames.PING).kind == frames.HEADERS:
                refused += 1
            assert 70 < refused < 100  # 1 MiB holds 21 of them
            assert server.call(lambda: server.server.shared.held.taken) <= 1 << 20
        wait_until(lambda: server.server.shared.held.taken == 0)


def test_many_small_answers_that_are_not_read_count_together(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("models")
    plain(folder, "scores", identity("float32", "n"))
    with running(Service(Repository(folder)), ConnectionLimits(max_held=1 << 20)) as server:
        with Http2Client(server.port, {frames.INITIAL_WINDOW_SIZE: 0}) as client:
            for number in range(1, 201, 2):
                client.send(request(number, "POST", INFER, body_of(10_000)))
            for _ in range(100):
                client.until(frames.HEADERS)
            waiting = server.call(lambda: server.server.shared.held.taken)
            assert (1 << 19) < waiting < (1 << 20) + len(body_of(10_000))
        wait_until(lambda: server.server.shared.held.taken == 0)


def test_what_is_refused_is_not_run_when_its_rest_comes(server: Running) -> None:
    """Its answer waits for a window, so that the stream is open still."""
    with Http2Client(server.port, {frames.INITIAL_WINDOW_SIZE: 0}) as client:
        client.send(
            headers(1, [*fields_of("POST", INFER), (b"content-length", b"%d" % (MAX_BODY + 1))], frames.END_HEADERS)
        )
        client.until(frames.HEADERS)
        before = server.call(lambda: server.server.shared.traffic.errors.copy())
        client.send(frames.frame(frames.DATA, frames.END_STREAM, 1, body_of(1)))
        client.send(frames.frame(frames.PING, 0, 0, b"12345678"))
        client.until(frames.PING)
        assert server.call(lambda: server.server.shared.traffic.errors.copy()) == before
        client.send(frames.window_update(1, 1000))
        assert client.until(frames.DATA).flags == frames.END_STREAM


def test_a_draining_server_says_so_and_answers_what_it_has(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("models")
    plain(folder, "scores", identity("float32", "n"))
    with running(Service(Repository(folder))) as server, Http2Client(server.port) as client:
        client.send(OPEN)
        client._next = 3
        assert client.answer(client.ask("GET", "/v2")).status == 200
        server.call(server.server.begin_draining)
        assert client.until(frames.GOAWAY).payload[:4] == b"\x7f\xff\xff\xff"
        assert client.answer(client.ask("GET", "/v2")).status == 200
        server.call(server.server.drain)
        last = client.until(frames.GOAWAY)
        assert (last.payload[:4], last.code) == (b"\0\0\0\5", frames.NO_ERROR)
        assert server.call(lambda: server.server.owed) == 1
        client.send(request(7, "GET", "/v2") + frames.frame(frames.DATA, frames.END_STREAM, 1, body_of(1)))
        assert values(client.answer(1).body) == [0.5]
        assert client.frame() is None


def test_what_does_not_arrive_in_time_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    limits = ConnectionLimits(request_timeout=1, idle_timeout=1, linger=1)
    folder = tmp_path_factory.mktemp("models")
    plain(folder, "scores", identity("float32", "n"))
    with running(Service(Repository(folder)), limits) as server:
        with Http2Client(server.port) as client:
            client.send(OPEN)
            assert client.answer(1).status == 408
            assert client.until(frames.GOAWAY).code == frames.NO_ERROR  # and then it is idle
            assert client.frame() is None
        with Http2Client(server.port) as client:
            client.send(OPEN[:20])
            assert client.error() == frames.ENHANCE_YOUR_CALM

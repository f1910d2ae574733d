"""HTTP through real sockets: order, framing, limits, and what is refused because it could smuggle a request."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.serving.harness import WAIT, Client, Running, ask, infer_body, request, serving
from tests.serving.onnx_models import identity, plain, publish_affine

from onnxpress.serving.settings import ConnectionLimits
from onnxpress.serving.transports.request_head import HEAVY

TARGET = "/v2/models/affine/infer"
ROW = infer_body([[1, 2, 3]])


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    publish_affine(folder)
    plain(folder, "echo", identity("float32"))
    return folder


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[Running]:
    with serving(models) as found:
        yield found


@pytest.fixture
def client(server: Running) -> Iterator[Client]:
    with Client(server.port) as found:
        yield found


def sums(body: bytes) -> list[float]:
    return json.loads(body)["outputs"][0]["data"]


def test_a_connection_answers_again_and_again(client: Client) -> None:
    for value in range(5):
        client.send(request("POST", TARGET, infer_body([[value, 0, 0]])))
        reply = client.reply()
        assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
        assert sums(reply.body) == [value, value]


def test_pipelined_requests_are_answered_in_order(client: Client) -> None:
    # Refusals and metadata are answered at once, inference at the turn's end: the order must hold all the same.
    bodies = [infer_body([[n, 0, 0]], id=str(n)) if n % 3 else b"{" for n in range(200)]
    client.send(b"".join(request("POST", TARGET, body) + request("GET", "/v2") for body in bodies))
    for number in range(len(bodies)):
        reply = client.reply()
        assert reply.status == (200 if number % 3 else 400)
        assert reply.json().get("id") == (str(number) if number % 3 else None)
        assert client.reply().json()["name"] == "onnxpress"


def test_a_request_in_single_bytes(client: Client) -> None:
    for byte in request("POST", TARGET, ROW) * 2:
        client.send(bytes([byte]))
    assert [client.reply().status for _ in range(2)] == [200, 200]


def test_requests_cut_anywhere_are_the_same_requests(server: Running) -> None:
    """Heads are kept and recognised by their bytes; no way to cut the stream may change what is understood."""
    choice = random.Random(7)
    wanted, parts = [], []
    for number in range(60):
        value = choice.choice([1, 22, 333])
        target = choice.choice([TARGET, "/v2/models/affine/versions/1/infer", "/v2/models/nobody/infer"])
        parts.append(request("POST", target, infer_body([[value, 0, 0]], id=str(number)), [f"x-pad: {'p' * value}"]))
        wanted.append(404 if "nobody" in target else value)
    stream = b"".join(parts)
    for _ in range(8):
        cuts = sorted(choice.sample(range(1, len(stream)), 40))
        with Client(server.port) as client:
            for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True):
                client.send(stream[start:stop])
                if choice.random() < 0.3:
                    time.sleep(0.001)
            for number, expected in enumerate(wanted):
                reply = client.reply()
                if expected == 404:
                    assert reply.status == 404
                else:
                    assert (reply.json()["id"], sums(reply.body)[0]) == (str(number), expected)


def test_a_head_that_came_in_two_packets_does_not_change_what_its_bytes_mean(server: Running) -> None:
    whole = request("POST", TARGET, ROW)
    with Client(server.port) as first:
        first.send(whole[:30])
        time.sleep(0.05)
        first.send(whole[30:])
        assert first.reply().status == 200
        first.send(whole[30:])  # the tail alone is no request
        assert first.reply().status == 400
    with Client(server.port) as second:
        second.send(whole)
        assert second.reply().status == 200


def test_chunked_bodies(client: Client) -> None:
    chunks = b"".join(b"%x;note=1\r\n%b\r\n" % (len(ROW[i : i + 9]), ROW[i : i + 9]) for i in range(0, len(ROW), 9))
    head = f"POST {TARGET} HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    trailers = b"0\r\nhost: another\r\nexpect: what\r\n\r\n"
    client.send(head + chunks + trailers + request("GET", "/v2"))
    assert sums(client.reply().body) == [6, 6]
    assert client.reply().json()["name"] == "onnxpress"


def test_a_client_that_expects_to_be_told_is_told(client: Client) -> None:
    whole = request("POST", TARGET, ROW, ["expect: 100-continue"])
    client.send(whole[: -len(ROW)])
    assert client.reply().status == 100
    client.send(ROW)
    assert client.reply().status == 200


def test_nobody_is_told_to_go_on_before_the_earlier_answers(client: Client) -> None:
    later = request("POST", TARGET, infer_body([[9, 0, 0]]), ["expect: 100-continue"])
    cut = later.index(b"\r\n\r\n") + 4
    client.send(request("POST", TARGET, ROW) + later[:cut])
    assert sums(client.reply().body) == [6, 6]  # and nothing before it
    client.send(later[cut:])
    reply = client.reply()
    if reply.status == 100:  # behind that answer it may be told
        reply = client.reply()
    assert sums(reply.body) == [9, 9]


def test_other_expectations_are_refused(server: Running) -> None:
    assert ask(server.port, "POST", TARGET, ROW, ["expect: magic"]).status == 417


def test_head_says_the_length_and_sends_nothing(client: Client) -> None:
    client.send(request("GET", "/v2"))
    full = client.reply()
    client.send(request("HEAD", "/v2"))
    reply = client.reply(head_only=True)
    assert (reply.status, reply.headers["content-length"]) == (200, str(len(full.body)))
    client.send(request("GET", "/v2"))
    assert client.reply().body == full.body


def test_http_1_0_closes_unless_asked_to_stay(server: Running) -> None:
    with Client(server.port) as client:
        client.send(b"GET /v2/health/live HTTP/1.0\r\n\r\n")
        reply = client.reply()
        assert (reply.status, reply.headers["connection"]) == (200, "close")
        assert client.ended()


def test_connection_close_is_kept_to(client: Client) -> None:
    client.send(request("POST", TARGET, ROW, ["connection: close"]) + request("GET", "/v2"))
    reply = client.reply()
    assert (reply.status, reply.headers["connection"]) == (200, "close")
    assert client.ended()


def test_the_absolute_form_and_escapes_and_queries_name_the_same_things(server: Running) -> None:
    for target in (f"http://proxy.test{TARGET}", "/v2/models/af%66ine/infer", f"{TARGET}?a=b", f"{TARGET}/"):
        assert ask(server.port, "POST", target, ROW).status == 200


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "sentence"),
    [
        ("GET", "/elsewhere", b"", 404, "the protocol's root is /v2"),
        ("GET", "/v2/models", b"", 404, "there is nothing at"),
        ("GET", "/v2/models/nobody", b"", 404, "there is no model 'nobody'; there are: affine, echo"),
        ("GET", "/v2/models/affine/versions/9", b"", 404, "no version '9' loaded; loaded: 1"),
        ("GET", "/v2/models/affine/versions/x/ready", b"", 404, "no version 'x'"),
        ("POST", "/v2/models/affine/nothing", ROW, 404, "there is nothing at"),
        ("GET", TARGET, b"", 405, "answers POST only"),
        ("POST", "/v2", b"", 405, "answers GET, HEAD only"),
        ("DELETE", "/v2/models/affine", b"", 405, "answers GET, HEAD only"),
        ("POST", TARGET, b"{", 400, "not JSON"),
        ("POST", TARGET, b"", 400, "not JSON"),
    ],
)
def test_what_is_not_there_or_not_so_is_refused(
    server: Running, method: str, target: str, body: bytes, status: int, sentence: str
) -> None:
    reply = ask(server.port, method, target, body)
    assert reply.status == status
    assert sentence in reply.json()["error"]
    assert ("allow" in reply.headers) == (status == 405)


@pytest.mark.parametrize(
    "raw",
    [
        b"POST /v2 HTTP/1.1\r\nhost: t\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v2 HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n",
        b"POST /v2 HTTP/1.1\r\nhost: t\r\ncontent-length: 4\r\ncontent-length: 4\r\n\r\nabcd",
        b"POST /v2 HTTP/1.1\r\nhost: t\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\nabcd",
        b"POST /v2 HTTP/1.1\r\nhost: t\r\ncontent-length: 4, 4\r\n\r\nabcd",
        b"POST /v2 HTTP/1.1\r\nhost: t\r\ncontent-length: +4\r\n\r\nabcd",
        b"POST /v2 HTTP/1.1\r\nhost: t\r\ncontent-length: -4\r\n\r\nabcd",
        b"POST /v2 HTTP/1.1\r\nhost: t\r\ncontent-length: 0x4\r\n\r\nabcd",
        b"POST /v2 HTTP/1.1\r\nhost: t\r\ncontent-length:\r\n\r\nabcd",
        b"POST /v2 HTTP/1.1\r\nhost: t\r\ncontent-length: " + b"9" * 5000 + b"\r\n\r\nabcd",
        b"POST /v2 HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"POST /v2 HTTP/1.1\r\nhost: t\r\ntransfer-encoding: gzip\r\n\r\nabcd",
        b"POST /v2 HTTP/1.1\r\nhost: t\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n",
        b"POST /v2 HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n\r\n",
        b"POST /v2 HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n4\nabcd\n0\n\n",
        b"GET /v2 HTTP/1.1\r\nhost: t\r\nx: a\r\n b\r\n\r\n",
        b"GET /v2 HTTP/1.1\nhost: t\n\n",
        b"GET /v2 HTTP/1.1\r\nhost: t\nx: y\r\n\r\n",
        b"GET /v2 HTTP/1.1\r\nhost: t\r\nx y: z\r\n\r\n",
        b"GET /v2 HTTP/1.1\r\nhost: t\r\nx: \x00\r\n\r\n",
        b"GET /v2 HTTP/1.1\r\n\r\n",
        b"GET /v2 HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        b"GET /v2 HTTP/9.9\r\nhost: t\r\n\r\n",
        b"PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
    ],
    ids=lambda raw: raw[24:70].decode("latin-1").encode("unicode_escape").decode(),
)
def test_framing_that_two_readers_could_read_in_two_ways_is_refused_and_the_connection_ended(
    server: Running, raw: bytes
) -> None:
    with Client(server.port) as client:
        client.send(raw)
        client.send(request("GET", "/v2/health/live"))
        reply = client.reply()
        assert (reply.status, reply.headers["connection"]) in {(400, "close"), (413, "close"), (501, "close")}
        assert client.ended()


@pytest.mark.parametrize("offer", ["websocket", "h2c"])
def test_an_offer_of_another_protocol_is_passed_over(client: Client, offer: str) -> None:
    client.send(request("POST", TARGET, ROW, ["connection: upgrade", f"upgrade: {offer}"]) + request("GET", "/v2"))
    assert sums(client.reply().body) == [6, 6]
    assert client.reply().json()["name"] == "onnxpress"


def test_an_unknown_content_encoding_is_refused(server: Running) -> None:
    assert ask(server.port, "POST", TARGET, ROW, ["content-encoding: br"]).status == 415


def test_limits_of_head_and_body(models: Path) -> None:
    with serving(models, ConnectionLimits(max_body=1000, max_head=2000)) as server:
        with Client(server.port) as client:
            client.send(b"GET /v2 HTTP/1.1\r\nhost: t\r\nx: " + b"y" * 5000)
            assert client.reply().status == 431
            assert client.ended()
        with Client(server.port) as client:
            client.send(request("POST", TARGET, b" " * 1001, ["expect: 100-continue"])[:-1001])
            assert client.reply().status == 413
        with Client(server.port) as client:
            client.send(f"POST {TARGET} HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n".encode())
            client.send(b"3e9\r\n" + b" " * 1001 + b"\r\n")
            assert client.reply().status == 413
        assert ask(server.port, "POST", TARGET, ROW).status == 200


def test_a_client_that_goes_on_sending_still_reads_why_it_was_refused(models: Path) -> None:
    with serving(models, ConnectionLimits(max_body=1000)) as server, Client(server.port) as client:
        client.send(request("POST", TARGET, b" " * 8_000_000))
        assert client.reply().status == 413
        assert client.ended()


def test_slow_clients_are_told_and_ended(models: Path) -> None:
    with serving(models, ConnectionLimits(request_timeout=1, idle_timeout=1)) as server:
        whole = request("POST", TARGET, ROW)
        with Client(server.port) as head, Client(server.port) as body, Client(server.port) as idle:
            idle.send(whole)
            assert idle.reply().status == 200
            head.send(whole[:20])
            body.send(whole)
            assert body.reply().status == 200
            body.send(whole[:-3])  # a recognised head, its body cut short
            for client in (head, body):
                reply = client.reply()
                assert (reply.status, reply.headers["connection"]) == (408, "close")
                assert client.ended()
            assert idle.ended()
            assert ask(server.port, "POST", TARGET, ROW).status == 200


def test_large_requests_one_behind_the_other_are_all_answered(models: Path) -> None:
    """What comes in one piece is the end of one body, the next head, and the begin of the next body."""
    with serving(models, ConnectionLimits(max_head=4096)) as server, Client(server.port) as client:
        row = infer_body([[0.125] * 30_000])
        whole = request("POST", "/v2/models/nobody/infer", row)
        stream = whole * 6
        sender = threading.Thread(target=client.socket.sendall, args=(stream,))
        sender.start()
        statuses = [client.reply().status for _ in range(6)]
        sender.join(WAIT)
        assert statuses == [404] * 6


def test_a_client_that_reads_nothing_is_not_read_from_without_end(models: Path) -> None:
    with serving(models, ConnectionLimits(request_timeout=1)) as server, Client(server.port) as client:
        values = [0.123456789] * 20_000
        tensor = {"name": "x", "shape": [1, len(values)], "datatype": "FP32", "data": values}
        whole = request("POST", "/v2/models/echo/infer", json.dumps({"inputs": [tensor]}).encode())
        client.socket.settimeout(0.5)
        sent = 0
        with contextlib.suppress(TimeoutError, ConnectionError):
            while sent < 400_000_000:
                # What was not taken is sent next: else the requests behind it would be no requests, and refused.
                sent += client.socket.send(whole[sent % len(whole) :])
        assert sent < 100_000_000
        deadline = time.monotonic() + WAIT
        while server.call(lambda: len(server.server.connections)):
            assert time.monotonic() < deadline, "the connection was not ended"
            time.sleep(0.1)


def test_connections_beyond_the_limit_are_refused(models: Path) -> None:
    with serving(models, ConnectionLimits(max_connections=2)) as server:
        with Client(server.port) as first, Client(server.port) as second:
            for client in (first, second):
                client.send(request("GET", "/v2/health/live"))
                assert client.reply().status == 200
            with Client(server.port) as third:
                reply = third.reply()
                assert (reply.status, reply.headers["retry-after"]) == (503, "1")
                assert third.ended()
        time.sleep(0.1)
        assert ask(server.port, "GET", "/v2/health/live").status == 200


def test_clients_that_vanish_harm_nobody(server: Running) -> None:
    for cut in (1, 20, -5, None):
        with Client(server.port) as client:
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            client.send((request("POST", TARGET, ROW) * 3)[:cut])
    assert ask(server.port, "POST", TARGET, ROW).status == 200


def test_mutated_requests_are_answered_or_ended_and_never_a_500(server: Running) -> None:
    choice = random.Random(11)
    whole = request("POST", TARGET, ROW, ["connection: close", "accept: */*"])
    for _ in range(600):
        mutated = bytearray(whole)
        for _ in range(choice.randint(1, 4)):
            place = choice.randrange(len(mutated))
            kind = choice.random()
            if kind < 0.4:
                mutated[place] = choice.randrange(256)
            elif kind < 0.7:
                del mutated[place : place + choice.randint(1, 5)]
            else:
                mutated[place:place] = choice.choice(
                    [b"\r\n", b"\0", b" ", b"9", b"[", b"transfer-encoding: chunked\r\n"]
                )
        with Client(server.port) as client:
            client.send(bytes(mutated))
            client.socket.shutdown(socket.SHUT_WR)
            answer = client._file.read()
            assert not answer or answer.startswith((b"HTTP/1.1 2", b"HTTP/1.1 4", b"HTTP/1.1 100")), mutated
    assert ask(server.port, "POST", TARGET, ROW).status == 200


def test_large_bodies_together_are_bounded(models: Path) -> None:
    body = infer_body([[1, 2, 3]]).ljust(80_000)
    with serving(models, ConnectionLimits(max_held=100_000)) as found:
        half = request("POST", TARGET, body)
        with Client(found.port) as slow, Client(found.port) as second, Client(found.port) as small:
            slow.send(half[:-1])
            while not found.call(lambda: found.server.shared.held.taken):
                time.sleep(0.01)
            second.send(half)
            reply = second.reply()
            assert (reply.status, reply.headers["retry-after"]) == (503, "1")
            assert second.ended()
            small.send(request("POST", TARGET, ROW))
            assert small.reply().status == 200
            slow.send(half[-1:])
            assert slow.reply().status == 200
            slow.send(half)
            assert slow.reply().status == 200
            slow.send(half[:-1])
        deadline = time.monotonic() + WAIT
        while found.call(lambda: found.server.shared.held.taken) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert found.call(lambda: found.server.shared.held.taken) == 0


def test_chunks_count_as_they_come(models: Path) -> None:
    head = f"POST {TARGET} HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    with serving(models, ConnectionLimits(max_held=100_000)) as found:
        with Client(found.port) as client:
            client.send(head + chunk + chunk)
            assert client.reply().status == 503
        assert found.call(lambda: found.server.shared.held.taken) == 0
        with Client(found.port) as client:
            client.send(head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(ROW), ROW))
            assert client.reply().status == 200
        assert found.call(lambda: found.server.shared.held.taken) == 0


def test_large_bodies_in_pieces_behind_new_and_known_heads(models: Path) -> None:
    rows = [[value / 7, 1.0, -2.5] for value in range(5_000)]
    bodies = [infer_body(rows), infer_body(rows[1:]), infer_body(rows)]
    requests = [request("POST", TARGET, body) for body in bodies]
    assert min(map(len, bodies)) > HEAVY
    with serving(models) as running, Client(running.port) as client:
        wanted = [ask(running.port, "POST", TARGET, infer_body(rows[start:])).json() for start in (0, 1, 0)]
        for data, answer in zip(requests, wanted, strict=True):
            for start in range(0, len(data), 50_000):
                client.send(data[start : start + 50_000])
                time.sleep(0.002)
            assert client.reply().json() == answer
        client.send(b"".join(requests))
        assert [client.reply().json() for _ in requests] == wanted
        assert running.server.shared.held.taken == 0

"""Calls of gRPC with several messages: ModelStreamInfer, and the health check that is watched."""

from __future__ import annotations

import asyncio
import gzip
import queue
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.serving.harness import WAIT, Client, Running, running, wait_until
from tests.serving.harness import request as http1
from tests.serving.http2_client import Http2Client, fields_of
from tests.serving.onnx_models import identity, model, node, plain

from onnxpress.core.arrays import Array
from onnxpress.serving.models.reloading import Reloader
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.protocol.protobuf import decoded, field
from onnxpress.serving.service import Service
from onnxpress.serving.settings import AccessSettings, AnswerSettings, ConnectionLimits
from onnxpress.serving.transports.http2 import frames, hpack

grpc = pytest.importorskip("grpc", reason="needs grpcio")

STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
HEAD = [("content-type", "application/grpc"), ("te", "trailers")]
MAX_BODY = 3 << 20
_TENSOR = {1: ("name", str), 3: ("shape", [int])}
_ANSWER = {
    1: ("error", str),
    2: (
        "answer",
        {1: ("model", str), 3: ("id", str), 4: ("last", bytes), 5: ("outputs", [_TENSOR]), 6: ("raw", bytes)},
    ),
}


def asking(name: str, values: Array, model: str = "scores") -> bytes:
    """A ModelInferRequest."""
    shape = b"".join([bytes([size]) for size in values.shape])
    tensor = field(1, b"x") + field(2, b"FP32") + field(3, shape)
    return field(1, model.encode()) + field(3, name.encode()) + field(5, tensor) + field(7, values.tobytes())


def answered(message: bytes) -> tuple[str, str, list[float]]:
    """The error, the id, and the values."""
    found = decoded(_ANSWER, message, "ModelStreamInferResponse")
    answer = found.get("answer", {})
    values = np.frombuffer(answer.get("raw", b""), np.float32).tolist()
    return found.get("error", ""), answer.get("id", ""), values


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("models")
    plain(folder, "scores", identity("float32", "n"))
    pair = model(
        [node("Add", ["a", "b"], ["sum"])], ["a:float32[batch,2]", "b:float32[batch,2]"], ["sum:float32[batch,2]"]
    )
    plain(folder, "pair", pair)
    repository = Repository(folder)
    limits = ConnectionLimits(max_body=MAX_BODY)
    with running(Service(repository, control=Reloader(repository)), limits) as found:
        yield found


@pytest.fixture
def client(server: Running) -> Iterator[Http2Client]:
    with Http2Client(server.port) as found:
        yield found


def called(server: Running, path: str, messages: Any, **options: Any) -> Any:
    """What grpcio makes of a call with messages both ways; they are bytes."""
    channel = grpc.insecure_channel(f"127.0.0.1:{server.port}")
    call = channel.stream_stream(path, lambda data: data, lambda data: data)
    return call(messages, **{"timeout": WAIT} | options)


def test_each_request_of_a_stream_is_answered_in_order(server: Running) -> None:
    asked = [asking(str(number), np.arange(number % 5 + 1, dtype=np.float32)) for number in range(300)]
    found = [answered(message) for message in called(server, STREAM, iter(asked))]
    assert found == [("", str(number), list(range(number % 5 + 1))) for number in range(300)]


def test_a_request_is_answered_while_the_stream_goes_on(server: Running) -> None:
    asked: queue.Queue[bytes | None] = queue.Queue()
    answers = called(server, STREAM, iter(asked.get, None))
    for number in range(5):
        asked.put(asking(f"{number}", np.array([number], np.float32)))
        assert answered(next(answers)) == ("", f"{number}", [number])
    asked.put(None)
    assert list(answers) == []
    assert answers.code() is grpc.StatusCode.OK


def test_what_is_wrong_with_one_request_is_said_inside_the_stream(server: Running) -> None:
    good = asking("c", np.ones(2, np.float32))
    asked = [asking("a", np.ones(1, np.float32), "none"), asking("b", np.ones((1, 2), np.float32)), good, b"\xff", good]
    found = [answered(message) for message in called(server, STREAM, iter(asked))]
    assert [(name, values) for _, name, values in found] == [
        ("a", []),
        ("b", []),
        ("c", [1, 1]),
        ("", []),
        ("c", [1, 1]),
    ]
    assert [error.partition("'")[0] for error, _, _ in found] == [
        "Request for unknown model: there is no model ",
        "the input ",
        "",
        "the message is no ModelInferRequest, or is cut off",
        "",
    ]


def test_the_client_of_nvidia_streams(server: Running) -> None:
    triton = pytest.importorskip("tritonclient.grpc", reason="needs tritonclient[grpc]")
    found: queue.Queue[tuple[Any, Any]] = queue.Queue()
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
        client.start_stream(lambda result, error: found.put((result, error)))
        for number in range(20):
            inputs = [triton.InferInput(name, [1, 2], "FP32") for name in "ab"]
            for tensor in inputs:
                tensor.set_data_from_numpy(np.full((1, 2), number, np.float32))
            client.async_stream_infer("pair", inputs, request_id=str(number), enable_empty_final_response=True)
        for number in range(20):
            result, error = found.get(timeout=WAIT)
            assert error is None
            response = result.get_response()
            assert response.id == str(number)
            assert response.parameters["triton_final_response"].bool_param
            assert result.as_numpy("sum").tolist() == [[2 * number] * 2]
        client.async_stream_infer("none", inputs)
        result, error = found.get(timeout=WAIT)
        assert result is None
        assert "no model 'none'" in str(error)
        client.async_stream_infer("pair", inputs, sequence_id=7)
        assert "sequences are not kept here" in str(found.get(timeout=WAIT)[1])
        client.stop_stream()


def test_the_asyncio_client_of_nvidia_streams(server: Running) -> None:
    triton = pytest.importorskip("tritonclient.grpc.aio", reason="needs tritonclient[grpc]")
    from tritonclient.grpc import InferInput

    async def ask() -> list[tuple[str, list[float]]]:
        async def requests() -> AsyncIterator[dict[str, Any]]:
            for number in range(20):
                tensor = InferInput("x", [1], "FP32")
                tensor.set_data_from_numpy(np.array([number], np.float32))
                yield {"model_name": "scores", "inputs": [tensor], "request_id": str(number)}

        async with triton.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
            assert await client.is_model_ready("scores")
            found = []
            async for result, error in client.stream_infer(requests()):
                assert error is None
                found.append((result.get_response().id, result.as_numpy("y").tolist()))
            return found

    assert asyncio.run(ask()) == [(str(number), [number]) for number in range(20)]


def test_packed_messages_go_both_ways(tmp_path: Path) -> None:
    plain(tmp_path, "scores", identity("float32", "n"))
    values = np.zeros(100, np.float32)
    with running(Service(Repository(tmp_path)), answers=AnswerSettings(compress_from=200)) as server:
        asked = [asking("1", values), asking("2", values[:3])]
        answers = called(server, STREAM, iter(asked), compression=grpc.Compression.Gzip)
        assert [answered(message) for message in answers] == [("", "1", [0] * 100), ("", "2", [0] * 3)]
        with Http2Client(server.port) as client:
            number = opened(client, ("grpc-accept-encoding", "gzip"))
            client.send(b"".join([data(number, framed(one)) for one in asked]) + data(number, b"", end=True))
            answer = client.answer(number)
        assert answer.headers["grpc-encoding"] == "gzip"
        size = int.from_bytes(answer.body[1:5], "big")
        assert (answer.body[0], answer.body[5 + size], size < 200) == (1, 0, True)
        assert answered(gzip.decompress(answer.body[5 : 5 + size])) == ("", "1", [0] * 100)


def test_a_token_is_asked_of_a_stream(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("a-token-of-enough-characters\n")
    (tmp_path / "models").mkdir()
    plain(tmp_path / "models", "scores", identity("float32", "n"))
    asked = asking("1", np.zeros(1, np.float32))
    with running(Service(Repository(tmp_path / "models")), access=AccessSettings(tokens=tmp_path / "tokens")) as server:
        with pytest.raises(grpc.RpcError) as caught:
            list(called(server, STREAM, iter([asked])))
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        metadata = [("authorization", "Bearer a-token-of-enough-characters")]
        (answer,) = called(server, STREAM, iter([asked]), metadata=metadata)
        assert answered(answer) == ("", "1", [0])


def framed(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


def opened(client: Http2Client, *more: tuple[str, str]) -> int:
    """A stream on which messages can be sent."""
    block = hpack.encoded(fields_of("POST", STREAM, [*HEAD, *more]))
    number, client._next = client._next, client._next + 2
    client.send(frames.frame(frames.HEADERS, frames.END_HEADERS, number, block))
    return number


def data(number: int, content: bytes, end: bool = False) -> bytes:
    return frames.frame(frames.DATA, frames.END_STREAM if end else 0, number, content)


def ended(client: Http2Client) -> dict[str, str]:
    """The header block with a status, wherever it comes."""
    while True:
        frame = client.until(frames.HEADERS, frames.RST_STREAM, frames.GOAWAY)
        if frame.kind == frames.GOAWAY and not frame.code:
            continue
        assert frame.kind == frames.HEADERS, frame
        fields = {name.decode(): value.decode() for name, value in client._decoder.decode(frame.payload)}
        if "grpc-status" in fields:
            assert frame.flags & frames.END_STREAM
            return fields


def test_messages_may_come_in_pieces_and_together(client: Http2Client) -> None:
    number = opened(client)
    whole = framed(asking("1", np.zeros(2, np.float32))) + framed(asking("2", np.ones(1, np.float32)))
    for place in range(len(whole)):
        client.send(data(number, whole[place : place + 1]))
    client.send(data(number, whole + whole, end=True))
    answer = client.answer(number)
    assert answer.trailers == {"grpc-status": "0"}
    names, at = [], 0
    while at < len(answer.body):
        size = int.from_bytes(answer.body[at + 1 : at + 5], "big")
        names.append(answered(answer.body[at + 5 : at + 5 + size])[1])
        at += 5 + size
    assert names == ["1", "2"] * 3


def test_a_stream_without_messages_is_answered_with_none(client: Http2Client) -> None:
    number = opened(client)
    client.send(data(number, b"", end=True))
    answer = client.answer(number)
    assert (answer.body, answer.headers["grpc-status"]) == (b"", "0")


def test_what_is_wrong_with_the_stream_ends_it(client: Http2Client) -> None:
    request = asking("1", np.zeros(1, np.float32))
    for content, code in [
        (framed(request)[:-1], "3"),
        (b"\1" + framed(request)[1:], "3"),
        (b"\0" + (MAX_BODY + 1).to_bytes(4, "big"), "8"),
    ]:
        number = opened(client)
        client.send(data(number, content, end=True))
        assert ended(client)["grpc-status"] == code
    for timeout, code in [("1x", "3"), ("1m", "4")]:
        number = opened(client, ("grpc-timeout", timeout))
        assert ended(client)["grpc-status"] == code
        reset = client.until(frames.RST_STREAM)  # the rest is not wanted
        assert (reset.stream, reset.code) == (number, frames.NO_ERROR)
    assert client.answer(client.ask("GET", "/v2")).status == 200


def test_messages_larger_than_a_window_go_through(server: Running, client: Http2Client) -> None:
    number = opened(client)
    content = framed(asking("1", np.zeros(1, np.float32))[:-6] + field(7, bytes(2 << 20)))
    at = 0
    room = 1 << 20
    while at < len(content):
        part = content[at : at + min(room, frames.PAYLOAD)]
        client.send(data(number, part))
        at, room = at + len(part), room - len(part)
        while not room:
            frame = client.until(frames.WINDOW_UPDATE)
            if frame.stream == number:
                room = int.from_bytes(frame.payload, "big")
    assert "2097152 bytes" in answered(client.until(frames.DATA).payload[5:])[0]
    assert server.call(lambda: server.server.shared.held.taken) == 0


def test_a_client_that_does_not_read_answers_has_to_wait_with_its_requests(server: Running) -> None:
    request = framed(asking("1", np.zeros(1, np.float32)))
    with Http2Client(server.port, {frames.INITIAL_WINDOW_SIZE: 0}) as client:
        number = opened(client)
        for _ in range(500):
            client.send(data(number, request))
        client.send(frames.frame(frames.PING, 0, 0, b"12345678"))
        client.until(frames.PING)
        before = server.call(lambda: server.server.shared.held.taken)
        assert 0 < before < 500 * len(request) * 2
        client.send(frames.window_update(number, 1 << 20))
        client.send(data(number, b"", end=True))
        assert ended(client)["grpc-status"] == "0"
        assert server.call(lambda: server.server.shared.held.taken) == 0
    with Http2Client(server.port, {frames.INITIAL_WINDOW_SIZE: 0}) as client:
        client.send(data(opened(client), request * 100))
        wait_until(lambda: server.call(lambda: server.server.shared.held.taken) > 0)
    wait_until(lambda: server.call(lambda: server.server.shared.held.taken) == 0)


def test_answers_that_nobody_reads_end_their_stream_where_others_need_the_room(tmp_path: Path) -> None:
    plain(tmp_path, "scores", identity("float32", "n"))
    large = asking("1", np.zeros(120, np.float32))
    with (
        running(Service(Repository(tmp_path)), ConnectionLimits(max_held=16 << 10)) as server,
        Http2Client(server.port, {frames.INITIAL_WINDOW_SIZE: 0}) as client,
    ):
        number = opened(client)
        for _ in range(64):
            client.send(data(number, framed(large)))
        assert ended(client)["grpc-status"] == "14"
        wait_until(lambda: server.call(lambda: server.server.shared.held.taken) == 0)


def test_a_stream_that_is_reset_is_forgotten(server: Running, client: Http2Client) -> None:
    number = opened(client)
    client.send(data(number, framed(asking("1", np.zeros(1, np.float32)))[:-1]))
    client.send(frames.rst_stream(number, frames.CANCEL))
    assert client.answer(client.ask("GET", "/v2")).status == 200
    assert server.call(lambda: server.server.shared.held.taken) == 0


def test_a_draining_server_answers_what_it_was_asked_and_ends_its_streams(tmp_path: Path) -> None:
    plain(tmp_path, "scores", identity("float32", "n"))
    with running(Service(Repository(tmp_path))) as server, Http2Client(server.port) as client:
        number = opened(client)
        client.send(data(number, framed(asking("1", np.zeros(1, np.float32)))))
        assert answered(client.until(frames.DATA).payload[5:]) == ("", "1", [0])
        server.call(server.server.begin_draining)
        client.send(data(number, framed(asking("2", np.zeros(1, np.float32)))))
        assert answered(client.until(frames.DATA).payload[5:])[1] == "2"
        server.call(server.server.drain)
        assert ended(client)["grpc-status"] == "14"
        while client.frame() is not None:
            pass


def test_a_silent_stream_is_asked_whether_it_is_there(server: Running, client: Http2Client) -> None:
    shared = server.server.shared
    limits = shared.limits

    def later(seconds: int) -> None:
        """So many seconds have passed, as the connections see it."""
        shared.seconds += seconds
        for connection in list(server.server.connections):
            connection.check_time(shared.seconds)

    number = opened(client)
    request = framed(asking("1", np.zeros(1, np.float32)))
    for _ in range(2):
        client.send(data(number, request))
        client.until(frames.DATA)
        server.call(later, limits.idle_timeout + 1)
        ping = client.until(frames.PING)
        assert not ping.flags & frames.ACK
        client.send(frames.frame(frames.PING, frames.ACK, 0, ping.payload))
    client.send(data(number, request + b"\0"))
    client.until(frames.DATA)
    server.call(later, limits.request_timeout + 1)
    assert ended(client)["grpc-status"] == "4"  # half a message must not take for ever
    client.until(frames.RST_STREAM)
    opened(client)
    assert client.answer(client.ask("GET", "/v2")).status == 200
    server.call(later, limits.idle_timeout + 1)
    client.until(frames.PING)
    server.call(later, limits.request_timeout + 1)
    while client.frame() is not None:  # nobody answered
        pass


def test_who_sends_byte_for_byte_has_no_more_time_than_others(server: Running) -> None:
    shared = server.server.shared
    half = shared.limits.request_timeout // 2 + 1

    def later() -> bool:
        """Whether anything is still under way after half of the time and some more."""
        shared.seconds += half
        for connection in list(server.server.connections):
            connection.check_time(shared.seconds)
        return any(connection.busy for connection in server.server.connections)

    request = framed(asking("1", np.zeros(1, np.float32)))
    with Http2Client(server.port) as client:
        number = opened(client)
        for _ in range(2):  # each message has its own time
            client.send(data(number, request))
            client.until(frames.DATA)
            assert server.call(later)
        for place in range(2):
            client.send(data(number, request[place : place + 1]) + frames.frame(frames.PING, 0, 0, bytes(8)))
            while not client.until(frames.PING).flags & frames.ACK:
                pass
            assert server.call(later) == (place == 0)
        assert ended(client)["grpc-status"] == "4"
    with Http2Client(server.port, {frames.INITIAL_WINDOW_SIZE: 0}) as client:  # and who does not read
        number = opened(client)
        for time in range(2):
            client.send(data(number, request) + frames.frame(frames.PING, 0, 0, bytes(8)))
            while not client.until(frames.PING).flags & frames.ACK:
                pass
            assert server.call(later) == (time == 0)
        assert client.until(frames.RST_STREAM).code == frames.CANCEL
        assert server.call(lambda: shared.held.taken) == 0


def test_nothing_stays_of_a_client_that_ends_its_side(server: Running) -> None:
    request = framed(asking("1", np.zeros(1, np.float32)))
    watch = hpack.encoded(fields_of("POST", HEALTH + "Watch", HEAD))
    for windows in (0, 65535):
        with Http2Client(server.port, {frames.INITIAL_WINDOW_SIZE: windows}) as client:
            client.send(data(opened(client), request * 3, end=True))
            client.send(frames.frame(frames.HEADERS, frames.END_HEADERS, client._next, watch))
            client.send(data(client._next, framed(b""), end=True))
            client.socket.shutdown(socket.SHUT_WR)
            while client.frame() is not None:
                pass
        wait_until(lambda: server.call(lambda: server.server.shared.traffic.connections) == 0)
        assert server.call(lambda: server.server.shared.held.taken) == 0


HEALTH = "/grpc.health.v1.Health/"


def test_the_health_check_lists_all(server: Running) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        answer = channel.unary_unary(HEALTH + "List", lambda data: data, lambda data: data)(b"")
    rows = decoded({1: ("all", [{1: ("name", str), 2: ("of", {1: ("status", int)})}])}, answer, "HealthListResponse")
    found = {row.get("name", ""): row["of"].get("status", 0) for row in rows["all"]}
    assert {"", "scores", "pair", "inference.GRPCInferenceService", "grpc.health.v1.Health"} <= found.keys()
    assert set(found.values()) == {1}


def test_the_health_check_can_be_watched(tmp_path: Path) -> None:
    plain(tmp_path, "scores", identity("float32", "n"))
    repository = Repository(tmp_path)
    service = Service(repository, control=Reloader(repository))
    with running(service) as server, grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        watch = channel.unary_stream(HEALTH + "Watch", lambda data: data, lambda data: data)
        calls = [watch(name and field(1, name), timeout=WAIT) for name in (b"", b"scores", b"none")]
        assert [next(call) for call in calls] == [b"\x08\x01", b"\x08\x01", b"\x08\x03"]
        change = channel.unary_unary("/inference.GRPCInferenceService/RepositoryModelUnload", lambda data: data)
        assert change(field(2, b"scores"), timeout=WAIT) == b""
        assert next(calls[1]) == b"\x08\x03"
        left = threading.Event()
        calls[2].add_callback(left.set)
        calls[2].cancel()
        assert left.wait(WAIT)
        server.call(service.leave)
        assert next(calls[0]) == b"\x08\x02"
        server.call(server.server.drain)
        with pytest.raises(grpc.RpcError) as caught:
            next(calls[0])
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_so_many_may_watch_on_a_connection(client: Http2Client, server: Running) -> None:
    block = hpack.encoded(fields_of("POST", HEALTH + "Watch", HEAD))

    def watch() -> int:
        number, client._next = client._next, client._next + 2
        client.send(frames.frame(frames.HEADERS, frames.END_HEADERS, number, block) + data(number, framed(b""), True))
        return number

    first = watch()
    for _ in range(31):
        watch()
    watch()
    said = ended(client)
    assert (said["grpc-status"], "32 calls" in said["grpc-message"]) == ("8", True)
    assert client.error() == frames.NO_ERROR  # its message is not wanted
    # Others go on, and one that has ended makes room.
    check = hpack.encoded(fields_of("POST", HEALTH + "Check", HEAD))
    number, client._next = client._next, client._next + 2
    client.send(frames.frame(frames.HEADERS, frames.END_HEADERS, number, check) + data(number, framed(b""), True))
    assert ended(client)["grpc-status"] == "0"
    client.send(frames.rst_stream(first, frames.CANCEL))
    again = watch()
    assert client.until(frames.DATA).stream == again


def test_so_many_may_watch_on_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxpress.serving.routes.health._WATCHES", 3)
    plain(tmp_path, "scores", identity("float32", "n"))
    with running(Service(Repository(tmp_path))) as server:
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            watch = channel.unary_stream(HEALTH + "Watch", lambda data: data, lambda data: data)
            calls = [watch(b"", timeout=WAIT) for _ in range(3)]
            assert [next(call) for call in calls] == [b"\x08\x01"] * 3
            with pytest.raises(grpc.RpcError) as caught:
                next(watch(b"", timeout=WAIT))
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        wait_until(lambda: server.call(lambda: not server.server.connections))
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            assert next(channel.unary_stream(HEALTH + "Watch", None, None)(b"", timeout=WAIT)) == b"\x08\x01"


def test_http_1_cannot_name_the_method_that_stands_for_grpc(server: Running) -> None:
    with Client(server.port) as client:
        client.send(http1("GRPC", HEALTH + "Watch"))
        assert client.reply().status == 400


def test_a_watch_has_one_message(client: Http2Client) -> None:
    for content in (b"", framed(b"") * 2):
        block = hpack.encoded(fields_of("POST", HEALTH + "Watch", HEAD))
        number, client._next = client._next, client._next + 2
        client.send(frames.frame(frames.HEADERS, frames.END_HEADERS, number, block))
        client.send(data(number, content, end=True))
        assert ended(client)["grpc-status"] == "3"

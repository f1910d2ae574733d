"""Large bodies are read beside the loop: all others are answered meanwhile; order, limits and counts stay right."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.serving.harness import Client, Running, ask, infer_body, request, running, wait_until
from tests.serving.onnx_models import identity, model, node, plain, publish_affine

from onnxpress.core import memory
from onnxpress.serving import aside
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.service import Service
from onnxpress.serving.settings import AnswerSettings, ConnectionLimits

TARGET = "/v2/models/affine/infer"


def large(rows: int, value: bytes = b"null") -> bytes:
    data = b",".join([b"1,2," + value] * rows)
    return b'{"inputs":[{"name":"x","shape":[%d,3],"datatype":"FP32","data":[%b]}]}' % (rows, data)


class Slowly:
    """Holds back what is done beside the loop until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[Any, Any]] = []
        self._call = aside.call
        monkeypatch.setattr(aside, "call", lambda work, then: self.calls.append((work, then)))

    def go(self, server: Running) -> None:
        while self.calls:
            server.call(self._call, *self.calls.pop(0))


def test_where_no_thread_can_be_had_callers_are_told_and_the_next_are_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_affine(tmp_path)

    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    packed = request("POST", TARGET, gzip.compress(large(200_000)), ["content-encoding: gzip"])
    with running(Service(Repository(tmp_path))) as server, Client(server.port) as client:
        monkeypatch.setattr(aside, "_thread", None)
        with monkeypatch.context() as patch:
            patch.setattr("threading.Thread.start", refuse)
            for sent in (request("POST", TARGET, large(200_000)), packed):
                client.send(sent)
                reply = client.reply()
                assert (reply.status, reply.headers["retry-after"]) == (503, "1")
        for sent in (request("POST", TARGET, large(200_000)), packed):
            client.send(sent)
            assert client.reply().status == 200


def test_others_are_answered_while_a_large_body_is_read(tmp_path: Path) -> None:
    publish_affine(tmp_path)
    with running(Service(Repository(tmp_path))) as server, Client(server.port) as client, Client(server.port) as other:
        client.send(request("POST", TARGET, large(2_000_000)))
        client.socket.setblocking(False)
        answered = 0
        while True:
            other.send(request("GET", "/v2/health/live"))
            assert other.reply().status == 200
            try:
                client.socket.recv(1)
                break
            except BlockingIOError:
                answered += 1
        assert answered > 50
    assert server.server.shared.held.taken == 0


def test_answers_keep_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_affine(tmp_path)
    with running(Service(Repository(tmp_path))) as server, Client(server.port) as client:
        held_back = Slowly(monkeypatch)
        small = request("POST", TARGET, infer_body([[1, 2, 3]]))
        client.send(request("POST", TARGET, large(200_000, b"3")) + small + request("GET", "/nowhere"))
        wait_until(lambda: len(held_back.calls) == 1)
        assert ask(server.port, "POST", TARGET, infer_body([[1, 2, 3]])).status == 200
        held_back.go(server)
        found = [client.reply() for _ in range(3)]
        assert [one.status for one in found] == [200, 200, 404]
        assert found[0].json()["outputs"][0]["shape"] == [200_000, 2]
        assert found[0].json()["outputs"][0]["data"][:2] == found[1].json()["outputs"][0]["data"]
        wait_until(lambda: server.server.shared.held.taken == 0)


def test_what_is_wrong_is_refused_and_counted_and_the_connection_goes_on(tmp_path: Path) -> None:
    publish_affine(tmp_path)
    repository = Repository(tmp_path)
    with running(Service(repository)) as server, Client(server.port) as client:
        for value in (b"true", b"1e39", b'"a"', b"1,2"):
            client.send(request("POST", TARGET, large(200_000, value)))
            assert client.reply().status == 400
        client.send(request("POST", TARGET, infer_body([[1, 2, 3]])))
        assert client.reply().status == 200
        (served,) = repository.all()
        assert served.batcher.counts.refused + served.batcher.counts.failed == 4
        assert server.server.shared.held.taken == 0


def test_one_that_is_being_read_counts_as_one_that_waits_and_is_dropped_once_its_caller_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_affine(tmp_path)
    repository = Repository(tmp_path)
    with running(Service(repository)) as server:
        (served,) = repository.all()
        served.batcher._max_waiting = 1
        held_back = Slowly(monkeypatch)
        with Client(server.port) as client:
            client.send(request("POST", TARGET, large(200_000)))
            wait_until(lambda: len(held_back.calls) == 1)
            assert served.batcher.busy
            assert served.batcher.waiting == 1
            assert ask(server.port, "POST", TARGET, infer_body([[1, 2, 3]])).status == 503
            client.socket.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER: the connection ends at once
        wait_until(lambda: not server.server.connections)
        runs = served.engine.runs
        held_back.go(server)
        wait_until(lambda: not served.batcher.busy)
        assert (served.batcher.counts.cancelled, served.engine.runs) == (1, runs)
        assert server.server.shared.held.taken == 0


def test_what_fails_while_it_is_read_is_answered_and_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_affine(tmp_path)

    def no_memory(*_: object) -> None:
        raise MemoryError

    with running(Service(Repository(tmp_path))) as server, Client(server.port) as client:
        with monkeypatch.context() as patched:
            patched.setattr("onnxpress.serving.protocol.large.array_of", no_memory)
            patched.setattr("onnxpress.serving.middleware.compression._unpacked", no_memory)
            client.send(request("POST", TARGET, large(200_000)))
            assert client.reply().status == 500
            packed = gzip.compress(np.random.default_rng(0).bytes(1 << 20))
            client.send(request("POST", TARGET, packed, ["content-encoding: gzip"]))
            assert client.reply().status == 500
        client.send(request("POST", TARGET, infer_body([[1, 2, 3]])))
        assert client.reply().status == 200
        assert server.server.shared.held.taken == 0


def test_what_a_body_becomes_is_counted_as_held(tmp_path: Path) -> None:
    plain(tmp_path, "texts", identity("string", "batch"))
    publish_affine(tmp_path)
    limits = ConnectionLimits(max_held=3 << 20)
    body = b'{"inputs":[{"name":"x","shape":[400000],"datatype":"BYTES","data":[%b]}]}' % b",".join([b'""'] * 400_000)
    packed = gzip.compress(large(1_000_000, b"3"))
    with running(Service(Repository(tmp_path)), limits) as server, Client(server.port) as client:
        assert len(body) < 3 << 20
        client.send(request("POST", "/v2/models/texts/infer", body))
        assert client.reply().status == 503
        assert len(packed) < 1 << 20
        client.send(request("POST", TARGET, packed, ["content-encoding: gzip"]))
        assert client.reply().status == 503
        client.send(request("POST", TARGET, infer_body([[1, 2, 3]])))
        assert client.reply().status == 200
        assert server.server.shared.held.taken == 0


def test_a_body_that_comes_at_once_with_a_known_head_counts_as_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_affine(tmp_path)
    limits = ConnectionLimits(max_held=200_000)
    body = json.dumps({"inputs": []}).encode() + b" " * 70_000
    with running(Service(Repository(tmp_path)), limits) as server, Client(server.port) as client:
        for _ in range(3):
            client.send(request("POST", TARGET, body))
            assert client.reply().status == 400
        server.server.shared.held.taken = 150_000
        client.send(request("POST", TARGET, body))
        assert client.reply().status == 503
        server.server.shared.held.taken = 0


def test_unpacking_and_packing_give_what_small_ones_give(tmp_path: Path) -> None:
    constants: dict[str, Any] = {"s": np.array([1, 100_000], np.int64)}
    wide = model([node("Expand", ["x", "s"], ["y"])], ["x:float32[b,1]"], ["y:float32[b,100000]"], constants)
    plain(tmp_path, "wide", wide)
    publish_affine(tmp_path)
    question = b'{"inputs":[{"name":"x","shape":[1,1],"datatype":"FP32","data":[0.5]}]}'
    answers = {"compress_from": 1000}
    with running(Service(Repository(tmp_path)), answers=answers) as server, Client(server.port) as client:
        for target, body in ((TARGET, large(300_000, b"3")), (TARGET, infer_body([[1, 2, 3]])), ("wide", question)):
            target = f"/v2/models/{target}/infer" if target == "wide" else target
            client.send(request("POST", target, gzip.compress(body), ["content-encoding: gzip"]))
            plainly = client.reply()
            client.send(request("POST", target, body, ["accept-encoding: gzip"]))
            packed = client.reply()
            assert (plainly.status, packed.status) == (200, 200)
            content = packed.body
            if "content-encoding" in packed.headers:
                content = gzip.decompress(content)
            assert content == plainly.body
        assert server.server.shared.held.taken == 0


@pytest.mark.parametrize("error", [MemoryError, SystemExit])
def test_the_thread_outlives_what_goes_wrong_between_two_bodies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    publish_affine(tmp_path)
    failed: list[object] = []

    def give_back() -> None:
        failed.append(None)
        raise error

    monkeypatch.setattr(memory, "give_back", give_back)
    monkeypatch.setattr(aside, "_QUIET_SECONDS", 0.01)
    with running(Service(Repository(tmp_path))) as server:
        for count in (1, 2):
            assert ask(server.port, "POST", "/v2/models/affine/infer", infer_body([[1, 2, 3]] * 200_000)).status == 200
            wait_until(lambda count=count: len(failed) >= count)


@pytest.mark.parametrize("length", [(16 << 10) - 1, 16 << 10])
@pytest.mark.parametrize(
    "target", ["/models/affine", "/predict", "/v1/models/affine:predict", "/v1/models/affine:classify", "/invocations"]
)
def test_forms_for_people_are_read_beside_the_loop_from_less_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, length: int
) -> None:
    publish_affine(tmp_path)
    beside: list[int] = []
    call = aside.call

    def counting(*given: Any) -> None:
        beside.append(1)
        call(*given)

    monkeypatch.setattr(aside, "call", counting)
    answers = AnswerSettings(plain_rows=target[:2] != "/i", platform="sagemaker" if target[:2] == "/i" else "none")
    with running(Service(Repository(tmp_path)), answers=answers) as server:
        assert ask(server.port, "POST", target, b"[1".ljust(length)).status == 400
        assert ask(server.port, "POST", TARGET, infer_body([[1, 2, 3]]).ljust(length)).status == 200
    assert len(beside) == (length >= 16 << 10)

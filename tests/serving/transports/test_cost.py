"""What a caller may cost: every request is answered, everything held is given back, who does not read gets no runs."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.serving.harness import WAIT, Client, Running, ask, infer_body, request, running, wait_until
from tests.serving.onnx_models import model, node, plain, publish_affine
from tests.serving.publishing import publish

from onnxpress.serving.exchange import Exchange, Handler
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.service import Service
from onnxpress.serving.settings import ConnectionLimits

TARGET = "/v2/models/affine/infer"


class Failing:
    """A handler that raises for every request to /fail, as one without memory does."""

    def __init__(self, handler: Handler, error: Exception) -> None:
        self._handler, self._error = handler, error
        self.headers_read, self.traffic = handler.headers_read, handler.traffic
        self.submit_with = handler.submit_with

    def submit(self, method: bytes, target: bytes, body: bytes, exchange: Exchange, alone: bool = False) -> None:
        if target == b"/fail":
            raise self._error
        self._handler.submit(method, target, body, exchange, alone)


@contextmanager
def failing(tmp_path: Path, error: Exception) -> Iterator[Running]:
    publish_affine(tmp_path)
    with running(Service(Repository(tmp_path)), around=lambda handler: Failing(handler, error)) as server:
        yield server


@pytest.mark.parametrize("error", [MemoryError(), OverflowError("no"), RecursionError("no"), KeyError("no")])
def test_whatever_is_raised_is_answered_and_given_back(error: Exception, tmp_path: Path) -> None:
    with failing(tmp_path, error) as server:
        for body in (b"", b" " * 100_000):
            with Client(server.port) as client:
                for _ in range(3):
                    client.send(request("POST", "/fail", body))
                    assert client.reply().status == 500
                client.send(request("POST", TARGET, infer_body([[1, 2, 3]])))
                assert client.reply().status == 200
                client.send(request("POST", "/fail", body) + request("POST", TARGET, infer_body([[1, 2, 3]])))
                assert [client.reply().status, client.reply().status] == [500, 200]
        assert server.server.shared.held.taken == 0
        assert server.server.shared.traffic.errors[500] == 8


def large(repository: Path, width: int = 50_000) -> None:
    """`y` is x, `width` times: a short question, an answer of some 500 kB."""
    constants: dict[str, Any] = {"s": np.array([1, width], np.int64)}
    plain(
        repository,
        "large",
        model([node("Expand", ["x", "s"], ["y"])], ["x:float32[b,1]"], [f"y:float32[b,{width}]"], constants),
    )


def question() -> bytes:
    body = b'{"inputs":[{"name":"x","shape":[1,1],"datatype":"FP32","data":[0.12345678]}]}'
    return request("POST", "/v2/models/large/infer", body)


def test_who_does_not_take_answers_gets_no_further_runs(tmp_path: Path) -> None:
    large(tmp_path)
    repository = Repository(tmp_path)
    with running(Service(repository)) as server:
        (served,) = repository.all()
        with Client(server.port) as client:
            client.send(question())
            assert client.reply().status == 200
        with socket.create_connection(("127.0.0.1", server.port), WAIT) as slow:
            slow.sendall(question() * 60)
            wait_until(lambda: server.server.shared.held.taken > 0)
            wait_until(lambda: not served.batcher.busy)
            runs = served.engine.runs
            time.sleep(0.2)
            assert served.engine.runs == runs < 30
            # Everybody else is answered, and this one too once it reads.
            assert ask(server.port, "GET", "/v2/health/live").status == 200
            file = slow.makefile("rb")
            for _ in range(60):
                length = 0
                while (line := file.readline().strip()) != b"":
                    length = int(line.split()[1]) if line.lower().startswith(b"content-length") else length
                assert len(file.read(length)) == length > 100_000
            wait_until(lambda: server.server.shared.held.taken == 0)
        assert served.batcher.counts.answered == 61


def test_answers_that_nobody_takes_are_given_up_where_others_need_the_room(tmp_path: Path) -> None:
    large(tmp_path)
    with running(Service(Repository(tmp_path)), ConnectionLimits(max_held=300_000)) as server:
        with socket.create_connection(("127.0.0.1", server.port), WAIT) as slow:
            slow.sendall(question() * 40)
            wait_until(lambda: not server.server.connections)
        assert server.server.shared.held.taken == 0
        assert ask(server.port, "GET", "/v2/health/live").status == 200


def test_a_client_that_has_ended_its_side_gets_every_answer(tmp_path: Path) -> None:
    publish_affine(tmp_path)
    large(tmp_path)
    small = request("POST", TARGET, infer_body([[1, 2, 3]]))
    with running(Service(Repository(tmp_path))) as server:
        for sent, count in (
            (small, 1),
            (small * 300, 300),
            (question() * 40, 40),  # answers of 500 kB: what was sent waits until they are taken
            (small * 3 + small[:-1], 3),
            (request("POST", TARGET, infer_body([[1, 2, 3]] * 10_000)) + small, 2),
        ):
            with socket.create_connection(("127.0.0.1", server.port), WAIT) as client:
                client.sendall(sent)
                client.shutdown(socket.SHUT_WR)
                found = client.makefile("rb").read()
            assert found.count(b"HTTP/1.1 200 OK\r\n") == count
            assert found.endswith(b"}")
        wait_until(lambda: not server.server.connections)
        assert server.server.shared.held.taken == 0


def test_a_client_that_has_gone_altogether_is_found_out_while_its_run_is_under_way(tmp_path: Path) -> None:
    publish(tmp_path, "slow")
    repository = Repository(tmp_path)
    body = b'{"inputs":[{"name":"steps","shape":[],"datatype":"INT64","data":[1000000000]}]}'
    with running(Service(repository)) as server:
        (served,) = repository.all()
        with socket.create_connection(("127.0.0.1", server.port), WAIT) as client:
            client.sendall(request("POST", "/v2/models/slow/infer", body))
            wait_until(lambda: served.batcher.busy)
        wait_until(lambda: not served.batcher.busy)
        wait_until(lambda: not server.server.connections)

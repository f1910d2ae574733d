"""What a caller may cost: every request is answered, everything held is given back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.serving.harness import Client, Running, infer_body, request, running
from tests.serving.onnx_models import publish_affine

from onnxpress.serving.exchange import Exchange, Handler
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.service import Service

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

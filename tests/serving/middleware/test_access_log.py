"""A line for every answer, and an id that goes from the caller into the log and back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.serving.harness import Client, ask, infer_body, request, running, started
from tests.serving.onnx_models import publish_affine

from onnxpress.serving.middleware.access_log import AccessLogMiddleware
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.service import Service

TARGET = "/v2/models/affine/infer"
ROW = infer_body([[1, 2, 3]])


def test_every_answer_is_a_line(tmp_path: Path) -> None:
    publish_affine(tmp_path)
    lines: list[str] = []
    service = Service(Repository(tmp_path))
    with running(service, around=lambda handler: AccessLogMiddleware(handler, lines.append)) as server:
        given = ask(server.port, "POST", TARGET, ROW, ["x-request-id: abc-1"])
        made = ask(server.port, "POST", TARGET, ROW)
        other = ask(server.port, "POST", TARGET, b"{", ["x-request-id: \xe9"])
        with Client(server.port) as client:
            client.send(request("POST", TARGET, ROW) * 3)
            ids = {client.reply().headers["x-request-id"] for _ in range(3)}
    found = [json.loads(line) for line in lines]
    assert [line["status"] for line in found] == [200, 200, 400, 200, 200, 200]
    assert given.headers["x-request-id"] == found[0]["id"] == "abc-1"
    assert made.headers["x-request-id"] == found[1]["id"]
    assert other.headers["x-request-id"] == found[2]["id"]
    assert found[2]["id"].isascii()
    assert found[2]["error"] == other.json()["error"]
    assert "error" not in found[0]
    assert ids == {line["id"] for line in found[3:]}
    assert len(ids) == 3
    assert (found[0]["method"], found[0]["path"], found[0]["bytes"]) == ("POST", TARGET, len(given.body))
    assert 0 < found[0]["seconds"] < 20


def test_through_the_command_line(tmp_path: Path) -> None:
    publish_affine(tmp_path)
    with started(tmp_path, "--access-log") as server:
        ask(server.port, "GET", "/v2/health/live")
        _, errors = server.leave()
    (line,) = [json.loads(line) for line in errors.splitlines() if line.startswith("{")]
    assert (line["path"], line["status"]) == ("/v2/health/live", 200)


@pytest.mark.parametrize("option", [["--unix", "s"], ["--model-control"]])
def test_what_workers_cannot_share_is_refused(tmp_path: Path, option: list[str]) -> None:
    with (
        pytest.raises(AssertionError, match="cannot be had with several --workers"),
        started(tmp_path, "--workers", "2", *option),
    ):
        pass

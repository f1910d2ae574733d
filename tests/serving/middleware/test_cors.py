"""Pages may ask from a browser only where their origin was named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.serving.harness import Running, ask, infer_body, running
from tests.serving.onnx_models import publish_affine

from onnxpress.serving.models.repository import Repository
from onnxpress.serving.service import Service
from onnxpress.serving.settings import AccessSettings

PAGE = "https://page.example"
TARGET = "/v2/models/affine/infer"
ROW = infer_body([[1, 2, 3]])
PREFLIGHT = [f"origin: {PAGE}", "access-control-request-method: POST", "access-control-request-headers: content-type"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("models")
    publish_affine(folder)
    with running(Service(Repository(folder)), access=AccessSettings(allow_origin=(PAGE + "/",))) as found:
        yield found


def test_a_page_that_was_named_may_ask(server: Running) -> None:
    before = ask(server.port, "OPTIONS", TARGET, headers=PREFLIGHT)
    assert (before.status, before.headers["access-control-allow-origin"]) == (200, PAGE)
    assert "POST" in before.headers["access-control-allow-methods"]
    answer = ask(server.port, "POST", TARGET, ROW, [f"origin: {PAGE}"])
    assert answer.json()["outputs"][0]["data"] == [6, 6]
    assert (answer.headers["access-control-allow-origin"], answer.headers["vary"]) == (PAGE, "origin")
    refused = ask(server.port, "POST", TARGET, b"{", [f"origin: {PAGE}"])
    assert (refused.status, refused.headers["access-control-allow-origin"]) == (400, PAGE)


@pytest.mark.parametrize("origin", ["https://page.example.evil", "http://page.example", "null", f"{PAGE}, {PAGE}"])
def test_another_page_may_not(server: Running, origin: str) -> None:
    before = ask(server.port, "OPTIONS", TARGET, headers=[f"origin: {origin}", *PREFLIGHT[1:]])
    assert before.status == 403
    answer = ask(server.port, "POST", TARGET, ROW, [f"origin: {origin}"])
    assert answer.status == 200  # who is no browser may say what he likes; a browser keeps it from the page
    for reply in (before, answer):
        assert "access-control-allow-origin" not in reply.headers


def test_the_question_whether_one_may_ask_needs_no_token(tmp_path: Path) -> None:
    publish_affine(tmp_path)
    (tmp_path / "tokens").write_text("a-token-of-some-length\n")
    access = AccessSettings(tokens=tmp_path / "tokens", allow_origin=("*",))
    with running(Service(Repository(tmp_path)), access=access) as found:
        assert ask(found.port, "OPTIONS", TARGET, headers=PREFLIGHT).status == 200
        answer = ask(found.port, "POST", TARGET, ROW, [f"origin: {PAGE}"])
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (401, "*")
        with_token = ask(
            found.port, "POST", TARGET, ROW, [f"origin: {PAGE}", "authorization: Bearer a-token-of-some-length"]
        )
        assert with_token.status == 200


def test_by_default_nobody_may(tmp_path: Path) -> None:
    publish_affine(tmp_path)
    with running(Service(Repository(tmp_path))) as found:
        assert ask(found.port, "OPTIONS", TARGET, headers=PREFLIGHT).status == 405
        answer = ask(found.port, "POST", TARGET, ROW, [f"origin: {PAGE}"])
        assert (answer.status, "access-control-allow-origin" in answer.headers) == (200, False)

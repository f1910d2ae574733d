"""Bearer tokens: nothing but health without one, several, and read again when the file changes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.serving.harness import Client, ask, infer_body, request, running
from tests.serving.onnx_models import publish_affine

from onnxpress.core.errors import UsageError
from onnxpress.serving.middleware import tokens
from onnxpress.serving.middleware.tokens import Tokens
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.protocol.refusal import Refusal
from onnxpress.serving.service import Service
from onnxpress.serving.settings import AccessSettings

FIRST, SECOND = "first-token-0123456789", "second-token-0123456789"
TARGET = "/v2/models/affine/infer"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text(f"# who may ask\n{FIRST}\n\n{SECOND}\n")
    return path


def test_nothing_is_answered_without_a_token_but_health(tmp_path: Path, file: Path) -> None:
    publish_affine(tmp_path)
    row = infer_body([[1, 2, 3]])
    with running(Service(Repository(tmp_path)), access=AccessSettings(tokens=file)) as server:
        for token in (FIRST, SECOND):
            for _ in range(2):  # the first request makes the path known
                assert ask(server.port, "POST", TARGET, row, [f"authorization: Bearer {token}"]).status == 200
        for header in ([], ["authorization: Bearer x"], [f"authorization: Basic {FIRST}"], ["authorization:"],
                       [f"authorization: Bearer {FIRST}", f"authorization: Bearer {FIRST}"],
                       [f"authorization: Bearer {FIRST}x"], [f"content-encoding: {FIRST}"]):  # fmt: skip
            for method, target in (("POST", TARGET), ("GET", "/v2"), ("GET", "/metrics"), ("GET", "/nothing")):
                reply = ask(server.port, method, target, row if method == "POST" else b"", header)
                assert (reply.status, reply.headers["www-authenticate"]) == (401, "Bearer")
        for target in ("/v2/health/live", "/v2/health/ready"):
            assert ask(server.port, "GET", target).status == 200
        with Client(server.port) as client:  # a head that was let in lets in nobody else
            client.send(request("POST", TARGET, row, [f"authorization: Bearer {FIRST}"]) + request("POST", TARGET, row))
            assert [client.reply().status, client.reply().status] == [200, 401]


def test_a_changed_file_counts_at_once_and_a_broken_one_not(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_LOOK_SECONDS", 0.0)
    known = Tokens(file)
    known.check(b"Bearer " + FIRST.encode())
    file.write_text(SECOND)
    os.utime(file, ns=(1, 1))
    known.check(b"bearer " + SECOND.encode())
    with pytest.raises(Refusal):
        known.check(b"Bearer " + FIRST.encode())
    file.write_text("short")
    os.utime(file, ns=(2, 2))
    known.check(b"Bearer " + SECOND.encode())
    file.unlink()
    known.check(b"Bearer " + SECOND.encode())


@pytest.mark.parametrize("content", ["", "# nothing\n", "short\n"])
def test_a_file_that_protects_nothing_is_refused(file: Path, content: str) -> None:
    file.write_text(content)
    with pytest.raises(UsageError):
        Tokens(file)

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
from onnxpress.serving.settings import AccessSettings, AnswerSettings

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
        for target in ("/v2/health/live", "/v2/health/ready", "/healthz", "/readyz"):
            assert ask(server.port, "GET", target).status == 200
        with Client(server.port) as client:  # a head that was let in lets in nobody else
            client.send(request("POST", TARGET, row, [f"authorization: Bearer {FIRST}"]) + request("POST", TARGET, row))
            assert [client.reply().status, client.reply().status] == [200, 401]


def test_the_plain_health_is_open_too(tmp_path: Path, file: Path) -> None:
    publish_affine(tmp_path)
    answers, access = AnswerSettings(plain_rows=True), AccessSettings(tokens=file)
    with running(Service(Repository(tmp_path)), answers=answers, access=access) as server:
        assert ask(server.port, "GET", "/health").status == 200
        assert ask(server.port, "POST", "/predict", b"[]").status == 401


def _answers(known: Tokens, token: str) -> bool:
    try:
        known.check(b"bearer " + token.encode())
    except Refusal:
        return False
    return True


def test_what_the_file_holds_no_more_is_no_token_any_more(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_LOOK_SECONDS", 0.0)
    said: list[str] = []
    monkeypatch.setattr(tokens.log, "say", said.append)
    known = Tokens(file)
    assert (_answers(known, FIRST), _answers(known, SECOND)) == (True, True)
    file.write_text(SECOND)
    os.utime(file, ns=(1, 1))
    assert (_answers(known, FIRST), _answers(known, SECOND)) == (False, True)
    file.write_text(FIRST.ljust(len(SECOND), "x"))  # as long, and as old
    os.utime(file, ns=(1, 1))
    assert not _answers(known, SECOND)
    assert known.state() == (True, "")
    assert said == []
    for number, (spoil, fault) in enumerate(SPOILT.items()):
        file.unlink(missing_ok=True)
        file.write_text(SECOND)
        assert _answers(known, SECOND), spoil
        _spoil(file, spoil)
        assert not _answers(known, SECOND), spoil
        usable, why = known.state()
        assert not usable
        assert fault in why
        assert len([line for line in said if fault in line]) >= 1
        if file.is_dir():
            file.rmdir()
        assert number + 1 <= len(said)


SPOILT = {
    "emptied": "there is no token in it",
    "comments": "there is no token in it",
    "deleted": "cannot be read: No such file",
    "short": "line 1 is a token of fewer than 16 characters",
    "a folder": "it is not a regular file",
    "a pipe": "it is not a regular file",
    "too large": "at most",
}


def _spoil(file: Path, how: str) -> None:
    if how in ("deleted", "a folder", "a pipe"):
        file.unlink()
    if how == "a folder":
        file.mkdir()
    elif how == "a pipe":
        os.mkfifo(file)
    elif how != "deleted":
        contents = {"emptied": "", "comments": "# none\n", "short": "short\n", "too large": f"{SECOND}\n" * 100_000}
        file.write_text(contents[how])


def test_a_file_with_one_bad_line_lets_the_others_in_and_readiness_says_so(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "_LOOK_SECONDS", 0.0)
    publish_affine(tmp_path)
    with running(Service(Repository(tmp_path)), access=AccessSettings(tokens=file)) as server:
        assert ask(server.port, "GET", "/v2/health/ready").json() == {"ready": True}
        file.write_text(f"{FIRST}\nshort\n")
        ready = ask(server.port, "GET", "/v2/health/ready")
        assert (ready.status, ready.json()["ready"]) == (200, True)
        assert "line 2 is a token of fewer than 16 characters" in ready.json()["reason"]
        assert ask(server.port, "GET", "/v2", b"", [f"authorization: Bearer {FIRST}"]).status == 200
        file.unlink()
        ready = ask(server.port, "GET", "/v2/health/ready")
        assert (ready.status, ready.json()["ready"]) == (503, False)
        assert "cannot be read" in ready.json()["reason"]
        assert str(tmp_path) not in ready.json()["reason"]
        assert ask(server.port, "GET", "/v2/health/live").status == 200
        file.write_text(SECOND)
        assert ask(server.port, "GET", "/v2/health/ready").json() == {"ready": True}


@pytest.mark.parametrize("content", ["", "# nothing\n", "short\n"])
def test_a_file_that_protects_nothing_is_refused(file: Path, content: str) -> None:
    file.write_text(content)
    with pytest.raises(UsageError):
        Tokens(file)

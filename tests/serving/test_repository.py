"""What is loaded, what is refused and why, and that one model's fault is its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.serving.harness import ask, infer_body, serving
from tests.serving.onnx_models import affine, plain, publish_affine

from onnxpress.core.errors import BadModel
from onnxpress.serving.protocol.errors import Refusal
from onnxpress.serving.repository import Repository


def loaded(path: Path, **settings: object) -> Repository:
    repository = Repository(path, **settings)  # type: ignore[arg-type]
    repository.load()
    repository.close()
    return repository


def test_the_latest_version_answers_and_all_can_be_loaded(tmp_path: Path) -> None:
    publish_affine(tmp_path, offset=1)
    publish_affine(tmp_path, offset=2)
    assert list(loaded(tmp_path).models["affine"]) == [2]
    with serving(tmp_path, all_versions=True) as server:
        for target, expected in (("affine", 2), ("affine/versions/1", 1), ("affine/versions/2", 2)):
            reply = ask(server.port, "POST", f"/v2/models/{target}/infer", infer_body([[0, 0, 0]]))
            assert reply.json()["outputs"][0]["data"] == [expected] * 2
            assert reply.json()["model_version"] == str(expected)
        described = ask(server.port, "GET", "/v2/models/affine").json()
        assert (described["versions"], described["parameters"]["verified"]) == (["1", "2"], True)


def test_a_corrupt_version_is_refused_while_others_are_served(tmp_path: Path) -> None:
    publish_affine(tmp_path, "good")
    file = publish_affine(tmp_path, "bad") / "model.onnx"
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    with serving(tmp_path) as server:
        assert ask(server.port, "POST", "/v2/models/good/infer", infer_body([[1, 1, 1]])).status == 200
        for target in ("/v2/models/bad/ready", "/v2/models/bad"):
            reply = ask(server.port, "GET", target)
            assert reply.status == 503
            assert "the server's log says why" in reply.json()["error"]


def test_a_version_that_does_not_answer_as_promised_is_refused(tmp_path: Path) -> None:
    publish_affine(tmp_path, "good")
    publish_affine(tmp_path, "liar", offset=0.5, promised=0.0)
    repository = loaded(tmp_path)
    assert "the self-test failed" in repository.failed["liar", 1]
    assert list(repository.models) == ["good"]


@pytest.mark.parametrize("content", [b"", b"not a model", affine()[:40]])
def test_a_file_that_is_no_model_is_refused_with_the_reason(tmp_path: Path, content: bytes) -> None:
    plain(tmp_path, "good", affine())
    plain(tmp_path, "bad", content)
    assert "ONNX Runtime cannot load it" in loaded(tmp_path).failed["bad", 1]


def test_nothing_to_serve_is_an_error_that_says_why(tmp_path: Path) -> None:
    plain(tmp_path, "bad", b"not a model")
    with pytest.raises(BadModel, match=r"no model could be loaded\n  bad version 1: "):
        loaded(tmp_path)


def test_a_plain_file_is_served_unverified_unless_equivalence_is_required(tmp_path: Path) -> None:
    file = tmp_path / "net.onnx"
    file.write_bytes(affine())
    with serving(file) as server:
        assert ask(server.port, "GET", "/v2/models/net").json()["parameters"] == {"verified": False}
        assert ask(server.port, "POST", "/v2/models/net/infer", infer_body([[1, 1, 1]])).status == 200
    with pytest.raises(BadModel, match="its equivalence was never measured"):
        loaded(file, require_equivalence=True)


def test_asking_for_what_is_not_there_says_what_is(tmp_path: Path) -> None:
    publish_affine(tmp_path)
    repository = loaded(tmp_path)
    with pytest.raises(Refusal, match="there is no model 'x'; there are: affine") as caught:
        repository.find("x", None)
    assert caught.value.status == 404
    with pytest.raises(Refusal, match="has no version '7' loaded; loaded: 1"):
        repository.find("affine", "7")

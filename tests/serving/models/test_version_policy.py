"""Version policies and labels: what is served, what callers reach, and what a wrong file leaves alone."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tests.serving.harness import WAIT, Running, ask, infer_body, running
from tests.serving.onnx_models import publish_affine

from onnxpress.core.errors import BadModel, UsageError
from onnxpress.serving.models import version_policy
from onnxpress.serving.models.reloading import Reloader
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.protocol.refusal import Refusal
from onnxpress.serving.service import Service
from onnxpress.serving.settings import ModelSettings

ZERO = infer_body([[0, 0, 0]])


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Four versions whose answer is their number; the third promises something else."""
    for number in range(1, 5):
        publish_affine(tmp_path, offset=number, promised=0.0 if number == 3 else None)
    return tmp_path


def served(path: Path, **settings: Any) -> list[int]:
    repository = Repository(path, ModelSettings(**settings))
    repository.load()
    return sorted(repository.models["affine"])


@pytest.mark.parametrize(
    ("policy", "versions"),
    [("latest", [4]), ("latest:2", [2, 4]), ("latest:9", [1, 2, 4]), ("all", [1, 2, 4]), ("1, 2", [1, 2])],
)
def test_the_policy_says_which_versions_are_served(models: Path, policy: str, versions: list[int]) -> None:
    assert served(models, versions=policy) == versions
    (models / "affine" / "serving.json").write_text(json.dumps({"versions": policy}))
    assert served(models) == versions


@pytest.mark.parametrize("policy", ["", "newest", "latest:0", "0", "1,", "-1", "1.5", "all,1"])
def test_what_is_no_policy_is_refused(policy: str) -> None:
    with pytest.raises(UsageError, match="is no version policy"):
        version_policy.policy(policy)


def test_a_label_is_a_name_for_a_version_and_keeps_it_served(models: Path) -> None:
    (models / "affine" / "serving.json").write_text('{"labels": {"stable": 1, "broken": 3, "future": 9}}')
    repository = Repository(models)
    repository.load()
    assert sorted(repository.models["affine"]) == [1, 4]
    assert repository.find("affine", "stable").version == 1
    assert repository.find("affine", None).version == 4
    for label, status in (("broken", 503), ("future", 404), ("unknown", 404)):
        with pytest.raises(Refusal) as caught:
            repository.find("affine", label)
        assert caught.value.status == status


@pytest.mark.parametrize(
    "content",
    [
        "{",
        '{"version": "all"}',
        '{"versions": "some"}',
        '{"labels": {"1": 1}}',
        '{"labels": {"a": 0}}',
        '{"labels": []}',
    ],
)
def test_a_wrong_file_is_refused_by_name(models: Path, content: str) -> None:
    (models / "affine" / "serving.json").write_text(content)
    with pytest.raises(BadModel, match=r"serving\.json"):
        Repository(models).load()


def offset(server: Running, target: str) -> float:
    reply = ask(server.port, "POST", target, ZERO)
    assert reply.status == 200, reply.body
    return float(reply.json()["outputs"][0]["data"][0])


def test_labels_move_while_served_and_a_wrong_file_changes_nothing(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, target = models / "affine" / "serving.json", "/v2/models/affine/versions/stable/infer"
    file.write_text('{"labels": {"stable": 1}}')
    service = Service(Repository(models))
    with running(service) as server:
        reloader = server.call(Reloader, service.repository)

        def look() -> None:
            asyncio.run_coroutine_threadsafe(reloader.look(), server.loop).result(WAIT)

        assert [offset(server, target) for _ in range(2)] == [1, 1]
        document = b'{"instances": [[0, 0, 0]]}'
        reply = ask(server.port, "POST", "/v1/models/affine/labels/stable:predict", document)
        assert reply.json() == {"predictions": [[1, 1]]}
        file.write_text('{"labels": {"stable": 2}}')
        look()
        assert offset(server, target) == 2
        assert ask(server.port, "POST", "/v2/models/affine/versions/1/infer", ZERO).status == 404
        file.write_text('{"labels": ')
        for _ in range(2):
            look()
        assert offset(server, target) == 2
        assert capsys.readouterr().err.count("leaving affine as it is") == 1
        file.unlink()
        look()
        assert ask(server.port, "POST", target, ZERO).status == 404
        assert offset(server, "/v2/models/affine/infer") == 4

"""Much external data: answered from as it lies, then completed beside the answering, or withdrawn where it is wrong."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.serving.harness import WAIT, Running, ask, infer_body, running
from tests.serving.onnx_models import external, publish_folder

from onnxpress.core import golden
from onnxpress.serving.models import opening
from onnxpress.serving.models.reloading import Reloader
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.service import Service
from onnxpress.serving.settings import ModelSettings, ProcessSettings

TARGET = "/v2/models/m/infer"


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A version with external data, of which a few bytes count as much."""
    monkeypatch.setattr(opening, "_MUCH", 8)

    def write(folder: Path) -> None:
        (folder / "model.onnx").write_bytes(external("w"))
        (folder / "w").write_bytes(np.ones((3, 2), np.float32).tobytes())
        x = np.ones((1, 3), np.float32)
        y = np.full((1, 2), 3, np.float32)
        golden.write(folder / golden.FILE_NAME, [golden.Golden({"x": x}, {"y": y}, {"y": np.full(y.shape, 1e-6)})])

    publish_folder(tmp_path, "m", write, ["x:float32[batch,3]"], ["y:float32[batch,2]"])
    return tmp_path


def complete(server: Running, service: Service) -> None:
    reloader = server.call(Reloader, service.repository)

    async def elsewhere() -> None:
        await asyncio.to_thread(reloader.complete, asyncio.get_running_loop())

    asyncio.run_coroutine_threadsafe(elsewhere(), server.loop).result(WAIT)


def test_it_answers_first_and_is_completed_afterwards(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    service = Service(Repository(models))
    with running(service) as server:
        body = infer_body([[1, 2, 3]])
        answers: list[Any] = [ask(server.port, "POST", TARGET, body).json()]
        (one,) = service.repository.loader.incomplete
        session = one.served.engine._session
        complete(server, service)
        answers.append(ask(server.port, "POST", TARGET, body).json())
        assert one.served.engine._session is not session
    assert answers[0] == answers[1]
    assert answers[0]["outputs"][0]["data"] == [6, 6]
    assert "m version 1 is complete" in capsys.readouterr().err


def test_data_that_was_not_published_is_withdrawn(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = models / "m" / "1" / "w"
    content = bytearray(data.read_bytes())
    content[0] ^= 1  # one unit in the last place: the self-test alone does not see it
    data.write_bytes(content)
    service = Service(Repository(models))
    with running(service) as server:
        assert ask(server.port, "POST", TARGET, infer_body([[1, 2, 3]])).status == 200
        complete(server, service)
        assert ask(server.port, "POST", TARGET, infer_body([[1, 2, 3]])).status == 503
        assert "SHA-256" in service.repository.failed["m", 1]
    assert "NOT serving m version 1" in capsys.readouterr().err


def test_a_version_that_comes_later_is_whole_before_it_is_served(models: Path) -> None:
    repository = Repository(models)
    repository.loader.load("m", 1, models / "m" / "1" / "model.onnx")
    assert repository.loader.incomplete == []


def test_without_prepacking_only_the_digests_are_left(models: Path) -> None:
    repository = Repository(models, ModelSettings(prepack=False))
    repository.load()
    (one,) = repository.loader.incomplete
    session = one.served.engine._session
    repository.loader.complete(one)
    assert one.served.engine._session is session
    repository.close()


def test_a_copy_that_tries_it_waits_for_no_digests_and_prepacks_nothing(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opener = opening.VersionOpener(ModelSettings(), ProcessSettings())
    path = models / "m" / "1" / "model.onnx"
    done = []
    check, load = opening.check_files, opening.Engine.load
    monkeypatch.setattr(opening, "check_files", lambda *a, **k: (done.append(k["digests_later"]), check(*a, **k))[1])
    monkeypatch.setattr(opening.Engine, "load", lambda *a, **k: (done.append(k["prepack"]), load(*a, **k))[1])
    opener.open_at_once(path).close()
    assert done == [["w"], False]

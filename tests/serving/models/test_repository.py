"""Which models are loaded from a path, and what becomes of those that cannot be."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.serving.onnx_models import model, node, plain
from tests.serving.publishing import MODELS, publish

from onnxpress.core.errors import BadModel
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.protocol.refusal import Refusal
from onnxpress.serving.settings import ModelSettings, ProcessSettings


def loaded(path: Path, **settings: Any) -> Repository:
    repository = Repository(path, ModelSettings(**settings))
    assert not repository.ready
    repository.load()
    return repository


def damage(folder: Path) -> None:
    content = bytearray((folder / "model.onnx").read_bytes())
    content[-1] ^= 1
    (folder / "model.onnx").write_bytes(content)


def test_the_latest_version_of_each_model_or_all(tmp_path: Path) -> None:
    for name in ("tiny", "tiny", "table"):
        publish(tmp_path, name)
    repository = loaded(tmp_path)
    assert {name: list(versions) for name, versions in repository.models.items()} == {"table": [1], "tiny": [2]}
    everything = loaded(tmp_path, versions="all")
    assert sorted(everything.models["tiny"]) == [1, 2]
    assert everything.find("tiny", "1").version == 1
    assert everything.find("tiny", None).version == 2


@pytest.mark.parametrize("path", ["tiny/1/model.onnx", "tiny/1", "tiny", "."])
def test_any_form_of_path(tmp_path: Path, path: str) -> None:
    publish(tmp_path, "tiny")
    assert loaded(tmp_path / path).find("tiny", "1").engine.self_test is not None


def test_a_corrupt_model_harms_no_other(tmp_path: Path) -> None:
    damage(publish(tmp_path, "tiny"))
    publish(tmp_path, "table")
    repository = loaded(tmp_path)
    assert repository.ready
    assert list(repository.models) == ["table"]
    assert "SHA-256" in repository.failed["tiny", 1]
    with pytest.raises(Refusal) as caught:
        repository.find("tiny", None)
    assert caught.value.status == 503
    assert str(tmp_path) not in caught.value.message


def test_a_corrupt_latest_version_leaves_the_one_before(tmp_path: Path) -> None:
    publish(tmp_path, "tiny")
    damage(publish(tmp_path, "tiny"))
    repository = loaded(tmp_path)
    assert repository.find("tiny", None).version == 1
    assert list(repository.failed) == [("tiny", 2)]
    with pytest.raises(Refusal) as caught:
        repository.find("tiny", "2")
    assert caught.value.status == 503


def test_nothing_to_serve_is_an_error_with_every_reason(tmp_path: Path) -> None:
    damage(publish(tmp_path, "tiny"))
    with pytest.raises(BadModel, match=r"no model could be loaded\n  tiny version 1: .*SHA-256"):
        loaded(tmp_path)


def test_a_plain_file_is_served_unless_equivalence_is_required(tmp_path: Path) -> None:
    shutil.copy(MODELS / "tiny.onnx", tmp_path / "plain.onnx")
    assert loaded(tmp_path / "plain.onnx").find("plain", None).engine.manifest is None
    with pytest.raises(BadModel, match="never measured"):
        loaded(tmp_path / "plain.onnx", require_equivalence=True)
    publish(tmp_path, "tiny")
    assert loaded(tmp_path / "tiny", require_equivalence=True).ready


@pytest.mark.parametrize(
    ("name", "version"), [("none", None), ("tiny", "3"), ("tiny", "01"), ("tiny", "x"), ("tiny", "²")]
)
def test_what_is_not_there_is_404(tmp_path: Path, name: str, version: str | None) -> None:
    publish(tmp_path, "tiny")
    with pytest.raises(Refusal) as caught:
        loaded(tmp_path).find(name, version)
    assert caught.value.status == 404


def test_a_model_whose_values_could_end_the_server_is_refused_in_its_process(tmp_path: Path) -> None:
    """The processor traps at the smallest integer divided by -1, and both are the caller's here."""
    content = model([node("Div", ["a", "b"], ["y"])], ["a:int64[n]", "b:int64[n]"], ["y:int64[n]"])
    plain(tmp_path, "divides", content)
    with pytest.raises(BadModel, match="divides integers by integers that callers choose"):
        Repository(tmp_path).load()
    isolated = Repository(tmp_path, processes=ProcessSettings(isolate=True))
    isolated.load()
    isolated.close()

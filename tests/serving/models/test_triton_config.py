"""Triton's config.pbtxt: read for what there is here, and the rest is said."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tests.serving.harness import ask, running
from tests.serving.onnx_models import affine, identity, plain

from onnxpress.core.errors import BadModel
from onnxpress.serving.models import loading
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.models.triton_config import TritonConfig, read
from onnxpress.serving.service import Service

CONFIG = """
name: "m"  platform: "onnxruntime_onnx"  default_model_filename: "net.onnx"  max_batch_size: 4
input [ { name: "x" data_type: TYPE_FP32 dims: [ 3 ] } ]
dynamic_batching { max_queue_delay_microseconds: 100 default_queue_policy { max_queue_size: 7 } }
instance_group [ { count: 2 kind: KIND_CPU } ]
"""


def test_what_it_says_is_served_and_the_rest_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(loading.log, "say", said.append)
    folder = plain(tmp_path, "m", affine())
    (folder / "model.onnx").rename(folder / "net.onnx")
    (tmp_path / "m" / "config.pbtxt").write_text(CONFIG)
    repository = Repository(tmp_path)
    repository.load()
    batcher = repository.models["m"][1].batcher
    assert batcher.max_rows == 4
    assert read(tmp_path / "m").max_waiting == 7
    (line,) = said
    assert line == "m: config.pbtxt: not used here: instance_group, dynamic_batching.max_queue_delay_microseconds"
    repository.close()


def test_none_says_nothing_and_another_backend_or_number_is_refused(tmp_path: Path) -> None:
    assert read(tmp_path) == TritonConfig()
    for text, why in (('backend: "python"', "'python'"), ("max_batch_size: -1", "max_batch_size"), ("a {", "line 1")):
        (tmp_path / "config.pbtxt").write_text(text)
        with pytest.raises(BadModel, match=why):
            read(tmp_path)
    (tmp_path / "config.pbtxt").write_text("max_batch_size: 0")
    assert read(tmp_path).max_batch == 1


@pytest.mark.parametrize(
    ("policy", "served"),
    [
        ("", [3]),
        ("version_policy: { all { } }", [1, 2, 3]),
        ("version_policy { latest { num_versions: 2 } }", [2, 3]),
        ("version_policy { latest { } }", [3]),
        ("version_policy { specific { versions: [1, 3] } }", [1, 3]),
        ("version_policy { specific { versions: 2 } }", [2]),
    ],
)
def test_its_policy_of_versions_is_followed_where_serving_json_has_none(
    tmp_path: Path, policy: str, served: list[int]
) -> None:
    for version in (1, 2, 3):
        plain(tmp_path, "m", affine(), version=version)
    (tmp_path / "m" / "config.pbtxt").write_text(policy)
    for settings, expected in (("{}", served), ('{"versions": "2"}', [2])):
        (tmp_path / "m" / "serving.json").write_text(settings)
        repository = Repository(tmp_path)
        repository.load()
        assert sorted(repository.models["m"]) == expected
        repository.close()


@pytest.mark.parametrize("policy", ["latest { num_versions: 0 }", "some { }", "latest { } all { }", "specific { }"])
def test_a_policy_that_cannot_be_read_is_named(tmp_path: Path, policy: str) -> None:
    plain(tmp_path, "m", affine())
    (tmp_path / "m" / "config.pbtxt").write_text(f"version_policy {{ {policy} }}")
    plain(tmp_path, "good", affine())
    repository = Repository(tmp_path)
    repository.load()
    assert sorted(repository.models) == ["good"]
    assert "config.pbtxt" in repository.failed["m", 1]
    repository.close()


def test_labels_come_from_the_file_that_it_names(tmp_path: Path) -> None:
    plain(tmp_path, "m", identity("float32", "batch,3"))
    config = 'output [ { name: "y" data_type: TYPE_FP32 dims: [ 3 ] label_filename: "names.txt" } ]'
    (tmp_path / "m" / "config.pbtxt").write_text(config)
    (tmp_path / "m" / "names.txt").write_text("cat\ndog\nowl\n")
    service = Service(Repository(tmp_path))
    body = {
        "inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 3, 2]}],
        "outputs": [{"name": "y", "parameters": {"classification": 2}}],
    }
    with running(service) as server:
        answer = ask(server.port, "POST", "/v2/models/m/infer", json.dumps(body).encode()).json()
    assert answer["outputs"][0]["data"] == ["3.000000:1:dog", "2.000000:2:owl"]


@pytest.mark.parametrize("name", ["gone.txt", "../names.txt", "/etc/hostname", "a\\\\b", "..", "pipe"])
def test_labels_that_cannot_be_had_are_said(tmp_path: Path, name: str) -> None:
    plain(tmp_path, "m", affine())
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "m" / "pipe")
    (tmp_path / "m" / "config.pbtxt").write_text(f'output [ {{ name: "y" label_filename: "{name}" }} ]')
    plain(tmp_path, "good", affine())
    repository = Repository(tmp_path)
    repository.load()
    assert sorted(repository.models) == ["good"]
    assert "label" in repository.failed["m", 1]
    repository.close()

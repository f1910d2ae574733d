"""Triton's config.pbtxt: read for what there is here, and the rest is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.serving.onnx_models import affine, plain

from onnxpress.core.errors import BadModel
from onnxpress.serving.models import loading
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.models.triton_config import TritonConfig, read

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

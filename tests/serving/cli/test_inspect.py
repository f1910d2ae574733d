"""The command `inspect`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from tests.serving.publishing import MODELS, publish

from onnxpress.core.errors import BadModel, UsageError
from onnxpress.core.manifest import FILE_NAME, encode
from onnxpress.core.tensors import Domain
from onnxpress.core.version_folder import read_manifest
from onnxpress.serving.cli.inspect import inspect


def ask(*arguments: object) -> str:
    return CliRunner().invoke(inspect, [str(part) for part in arguments], catch_exceptions=False).stdout


def test_a_published_version(tmp_path: Path) -> None:
    publish(tmp_path, "tiny")
    text = ask(tmp_path)
    for part in (
        "tiny version 1",
        "x:float32[batch,32]",
        "y:float32[batch,8]",
        "1 of 10 noise floors",
        "batch-safe: yes",
    ):
        assert part in text
    document = json.loads(ask(tmp_path, "--json"))
    assert document["inputs"] == [{"name": "x", "dtype": "float32", "shape": ["batch", 32]}]
    assert document["manifest"]["equivalence"]["equivalent"] is True


def test_what_a_manifest_says_of_values_is_shown(tmp_path: Path) -> None:
    folder = publish(tmp_path, "tiny")
    manifest = read_manifest(folder)
    assert manifest is not None
    limited = [
        msgspec.structs.replace(spec, domain=Domain(low=0, high=1, enforced=True), refuses=("nan",))
        for spec in manifest.inputs
    ]
    changed = msgspec.structs.replace(
        manifest, inputs=limited, labels={"y": ["no", "yes"]}, thresholds={"y": 0.25}, batch_safe=False
    )
    (folder / FILE_NAME).write_bytes(encode(changed))
    text = ask(tmp_path)
    for part in (
        "domain   x: [0, 1]", "refuses  x: nan", "labels   y: no, yes", "threshold y: 0.25", "batch-safe: no",
    ):  # fmt: skip
        assert part in text


def test_a_plain_file_is_unverified(tmp_path: Path) -> None:
    shutil.copy(MODELS / "table.onnx", tmp_path)
    assert "unverified" in ask(tmp_path / "table.onnx")
    assert json.loads(ask(tmp_path / "table.onnx", "--json"))["manifest"] is None


def test_several_models_or_none(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="no model here"):
        ask(tmp_path)
    publish(tmp_path, "tiny")
    publish(tmp_path, "table")
    with pytest.raises(UsageError, match="2 models here: table, tiny"):
        ask(tmp_path)

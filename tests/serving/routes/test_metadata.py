"""What a model says of itself: labels and thresholds of its manifest beside what was measured."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner
from tests.serving.harness import ask, serving
from tests.serving.onnx_models import publish_affine

from onnxpress.serving.cli.inspect import inspect

WORDS = {"labels": {"y": ["low", "high"]}, "thresholds": {"y": 0.5}}


def published(repository: Path) -> None:
    path = publish_affine(repository) / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | WORDS))


def test_metadata_has_the_labels_and_thresholds_of_the_manifest(tmp_path: Path) -> None:
    published(tmp_path)
    with serving(tmp_path) as server:
        parameters = ask(server.port, "GET", "/v2/models/affine").json()["parameters"]
    assert {name: parameters[name] for name in WORDS} == WORDS
    assert parameters["verified"] is True


def test_metadata_of_a_model_that_has_none_does_not_name_them(tmp_path: Path) -> None:
    publish_affine(tmp_path)
    with serving(tmp_path) as server:
        assert not WORDS.keys() & ask(server.port, "GET", "/v2/models/affine").json()["parameters"].keys()


def test_inspect_shows_them(tmp_path: Path) -> None:
    published(tmp_path)
    said = CliRunner().invoke(inspect, [str(tmp_path)], catch_exceptions=False).stdout
    assert "labels   y: low, high" in said
    assert "threshold y: 0.5" in said

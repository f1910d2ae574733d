"""Inputs for when nobody asks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.serving.onnx_models import identity, plain, publish_affine

from onnxpress.core.errors import BadData
from onnxpress.serving.engine import Engine, sample_inputs


def test_a_golden_sample_where_there_is_one(tmp_path: Path) -> None:
    path = publish_affine(tmp_path) / "model.onnx"
    found = sample_inputs.inputs(Engine.load(path), path)
    assert found["x"].tolist() == [[1, 2, 3], [0, 0, 0]]
    assert sample_inputs.with_rows(found, 5)["x"].shape == (5, 3)
    assert sample_inputs.with_rows(found, 1)["x"].tolist() == [[1, 2, 3]]
    with pytest.raises(BadData, match="no rows"):
        sample_inputs.with_rows({"x": np.zeros((0, 3), np.float32)}, 2)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "float16", "bfloat16", "float64", "string"])
def test_made_up_from_the_signature_in_every_type(tmp_path: Path, dtype: str) -> None:
    path = plain(tmp_path, "m", identity(dtype)) / "model.onnx"
    engine = Engine.load(path)
    found = sample_inputs.inputs(engine, path, {"length": 4})
    assert found["x"].shape == (1, 4)
    assert engine.run(found)["y"].dtype == found["x"].dtype


def test_warming_up_runs_every_size_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = publish_affine(tmp_path) / "model.onnx"
    engine = Engine.load(path)
    seen = []
    run = engine.run
    monkeypatch.setattr(engine, "run", lambda feeds: (seen.append(len(feeds["x"])), run(feeds))[1])
    sample_inputs.warm_up(engine, path, [1, 2, 64])
    assert seen == [1, 2, 64]

"""Inputs for when nobody asks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.serving.onnx_models import identity, plain, publish_affine

from onnxpress.core.arrays import Array
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


def test_warming_up_runs_every_size_and_learns_what_a_run_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = publish_affine(tmp_path) / "model.onnx"
    engine = Engine.load(path)
    seen, clock = [], [0.0]
    run = engine.run

    def timed(feeds: dict[str, Array]) -> dict[str, Array]:
        rows = len(feeds["x"])
        seen.append(rows)
        clock[0] += 0.002 + 0.0003 * rows
        return run(feeds)

    monkeypatch.setattr(engine, "run", timed)
    monkeypatch.setattr(sample_inputs, "perf_counter", lambda: clock[0])
    sample_inputs.warm_up(engine, path, [1, 2, 64])
    assert seen[:3] == [1, 2, 64]
    assert set(seen[3:]) == {1, 64}
    assert engine.seconds_of_a_run == pytest.approx(0.002)
    # Three values a row.
    assert [engine.expected_seconds(3 * rows) for rows in (1, 64)] == pytest.approx([0.0023, 0.0212])


def test_one_size_tells_nothing_of_others(tmp_path: Path) -> None:
    path = publish_affine(tmp_path) / "model.onnx"
    engine = Engine.load(path)
    before = engine.seconds_per_value
    sample_inputs.warm_up(engine, path, [4])
    assert (engine.seconds_per_value, engine.seconds_of_a_run) == (before, 0.0)


def test_what_a_run_takes_whatever_its_size_is_not_counted_for_each_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine.load(publish_affine(tmp_path) / "model.onnx")
    engine.seconds_per_value, engine.seconds_of_a_run = 1e-6, 60.0
    engine.run_all({"x": np.zeros((1, 3), np.float32)}, 3)
    # It took less than 60 s: of that nothing is left for the values.
    assert engine.seconds_per_value < 1e-6
    assert 60.0 < engine.expected_seconds(3) < 60.001

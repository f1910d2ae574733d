"""`onnxpress.load`: a callable model, checked before it answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.serving.onnx_models import affine, mixed, plain, publish, publish_affine

from onnxpress.core.errors import BadData, BadModel, CorruptVersion, UsageError
from onnxpress.serving.engine.loading import load

ROWS = [[1, 2, 3], [0.5, 0, 0]]
SUMS = np.array([[6, 6], [0.5, 0.5]], np.float32)


def test_every_form_of_path_answers_by_name_in_one_mapping_or_alone(tmp_path: Path) -> None:
    folder = publish_affine(tmp_path)
    for path in (tmp_path, str(tmp_path), tmp_path / "affine", folder, folder / "model.onnx"):
        engine = load(path)
        for answers in (engine(x=ROWS), engine({"x": ROWS}), engine(np.array(ROWS))):
            assert answers["y"].dtype == np.float32
            np.testing.assert_array_equal(answers["y"], SUMS)
    assert engine.self_test is not None
    assert engine.self_test.cases == 1


def test_the_latest_version_is_loaded(tmp_path: Path) -> None:
    publish_affine(tmp_path)
    publish_affine(tmp_path, offset=1)
    engine = load(tmp_path)
    assert engine.version == 2
    np.testing.assert_array_equal(engine(x=ROWS)["y"], SUMS + 1)


def test_a_file_without_a_manifest_is_loaded_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "bare.onnx"
    path.write_bytes(affine())
    engine = load(path)
    assert engine.self_test is None
    np.testing.assert_array_equal(engine(ROWS)["y"], SUMS)


def test_strings_go_in_and_out(tmp_path: Path) -> None:
    plain(tmp_path, "mixed", mixed())
    answers = load(tmp_path)(a=[[1, 2]], b=[[3, 4]], s=["é"])
    assert answers["s_again"].tolist() == ["é"]
    np.testing.assert_array_equal(answers["y"], [[4, 6]])


def test_a_version_that_is_not_what_was_published_is_refused(tmp_path: Path) -> None:
    model = publish_affine(tmp_path / "changed") / "model.onnx"
    content = bytearray(model.read_bytes())
    content[-1] ^= 1
    model.write_bytes(content)
    with pytest.raises(CorruptVersion, match="SHA-256"):
        load(tmp_path / "changed")
    publish_affine(tmp_path / "other", promised=1.0)
    with pytest.raises(BadModel, match="self-test failed"):
        load(tmp_path / "other")


def test_what_cannot_be_loaded_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="no such file"):
        load(tmp_path / "none")
    publish_affine(tmp_path, "one")
    publish_affine(tmp_path, "two")
    with pytest.raises(UsageError, match="2 models here: one, two"):
        load(tmp_path)


def test_wrong_inputs_are_refused_with_the_models_name(tmp_path: Path) -> None:
    engine = load(publish(tmp_path, "affine", affine(), ["x:float32[batch,3]"], ["y:float32[batch,2]"]))
    with pytest.raises(BadData, match="not both") as caught:
        engine(ROWS, x=ROWS)
    assert caught.value.where == "affine"
    with pytest.raises(BadData, match="is missing"):
        engine()

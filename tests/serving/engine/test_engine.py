"""Loading, running and self-testing a model."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.serving import onnx_models
from tests.serving.publishing import MODELS, publish

from onnxpress.core import golden
from onnxpress.core.errors import BadData, BadModel, CorruptVersion, UsageError
from onnxpress.core.manifest import SessionSettings
from onnxpress.core.tensors import parse_spec
from onnxpress.core.version_folder import read_manifest
from onnxpress.serving.engine import Engine

ROW = {"x": np.ones((1, 32), np.float32)}


def test_plain_file_is_named_by_its_stem_and_unverified() -> None:
    engine = Engine.load(MODELS / "tiny.onnx")
    assert (engine.name, engine.version, engine.manifest, engine.self_test) == ("tiny", 1, None, None)
    assert [str(spec) for spec in (*engine.inputs, *engine.outputs)] == ["x:float32[batch,32]", "y:float32[batch,8]"]


def test_serialized_model_answers_like_its_file() -> None:
    path = MODELS / "tiny.onnx"
    answers = [Engine.load(model).run(ROW)["y"] for model in (path, path.read_bytes())]
    np.testing.assert_array_equal(*answers)
    assert answers[0].dtype == np.float32


def test_published_version_replays_its_goldens(tmp_path: Path) -> None:
    engine = Engine.load(publish(tmp_path, "tiny", cases=2) / "model.onnx")
    assert engine.self_test is not None
    assert engine.self_test.cases == 2
    assert engine.self_test.worst_multiple <= 1
    assert 0 < engine.expected_seconds(32) < 0.1
    assert Engine.load(tmp_path / "tiny" / "1" / "model.onnx", self_test=False).self_test is None


def test_self_test_refuses_a_model_that_answers_otherwise(tmp_path: Path) -> None:
    folder = publish(tmp_path, "tiny")
    (case,) = golden.read(folder / golden.FILE_NAME)
    wrong = golden.Golden(case.inputs, {"y": case.outputs["y"] + np.float32(1e-3)}, case.floors)
    golden.write(folder / golden.FILE_NAME, [wrong])
    with pytest.raises(BadModel, match=r"self-test failed: y is 1e\+03 noise floors") as caught:
        Engine.load(folder / "model.onnx")
    assert not isinstance(caught.value, CorruptVersion)


def test_missing_goldens_are_a_corrupt_version(tmp_path: Path) -> None:
    folder = publish(tmp_path, "tiny")
    (folder / golden.FILE_NAME).unlink()
    with pytest.raises(CorruptVersion, match=r"golden\.npz is missing"):
        Engine.load(folder / "model.onnx")


@pytest.mark.parametrize(
    "spec", ["x:float32[batch,31]", "x:float64[batch,32]", "x:float32[batch]", "z:float32[batch,32]"]
)
def test_manifest_that_contradicts_the_model_is_corrupt(tmp_path: Path, spec: str) -> None:
    folder = publish(tmp_path, "tiny")
    manifest = read_manifest(folder)
    assert manifest is not None
    changed = msgspec.structs.replace(manifest, inputs=[parse_spec(spec)])
    (folder / "manifest.json").write_bytes(msgspec.json.encode(changed))
    with pytest.raises(CorruptVersion, match="the manifest says"):
        Engine.load(folder / "model.onnx")


def test_selected_outputs_and_what_does_not_fit() -> None:
    engine = Engine.load(MODELS / "tiny.onnx")
    assert list(engine.run(ROW, ["y"])) == ["y"]
    with pytest.raises(BadData, match="no output 'z'; there is: y"):
        engine.run(ROW, ["z"])
    with pytest.raises(BadData, match="no input 'z'; there is: x"):
        engine.run({"z": ROW["x"]})
    with pytest.raises(BadData, match=r"x:float32\[batch,32\] is missing"):
        engine.run({})
    with pytest.raises(BadData, match=r"Got: 3 Expected: 32"):
        engine.run({"x": np.ones((1, 3), np.float32)})


def test_file_that_is_no_model_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "junk.onnx"
    path.write_bytes(b"junk")
    with pytest.raises(BadModel, match="it is not an ONNX model") as caught:
        Engine.load(path)
    assert caught.value.where == str(path)


def test_session_settings_reach_the_runtime() -> None:
    settings = SessionSettings(optimization="none", config={"session.set_denormal_as_zero": "1"})
    assert Engine.load(MODELS / "tiny.onnx", settings=settings, threads=1).run(ROW)["y"].shape == (1, 8)


def test_unusable_provider_is_an_error_not_a_silent_fall_to_the_cpu() -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    with pytest.raises(BadModel, match="cuda execution provider is not in this onnxruntime") as caught:
        Engine.load(MODELS / "tiny.onnx", provider="cuda")
    assert "onnxpress[cuda]" in str(caught.value)
    with pytest.raises(UsageError, match="no provider 'tpu'"):
        Engine.load(MODELS / "tiny.onnx", provider="tpu")


@pytest.mark.parametrize(("element", "expected"), [(17, 2.25), (19, 2.5), (22, 2.0), (16, 2.296875)])
def test_narrow_types_inside_a_model_are_the_runtimes_business(element: int, expected: float) -> None:
    """FP8 (E4M3FN, E5M2), INT4 and BF16."""
    answer = Engine.load(onnx_models.narrow(element)).run({"x": np.array([2.3], np.float32)})["y"]
    assert answer.tolist() == [expected]


@pytest.mark.parametrize(("element", "content"), [(22, b"\xe3"), (17, b"\x44\xc0")])
def test_narrow_weights_are_served(element: int, content: bytes) -> None:
    answer = Engine.load(onnx_models.narrow_weights(element, content)).run({"x": np.ones((1, 2), np.float32)})["y"]
    assert answer.tolist() == [[0.5]]  # (3 - 2) / 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (onnx_models.narrow_border(17), r"'y' is tensor\(float8e4m3fn\), for which the Open Inference Protocol has no"),
        (onnx_models.narrow_border(22), r"'y' is tensor\(int4\), for which the Open Inference Protocol has no"),
        (onnx_models.sequence(), r"'y' \(seq\(tensor\(float\)\)\) is a sequence of tensors"),
        (onnx_models.optional(), r"'y' \(optional\(tensor\(float\)\)\) may be absent"),
    ],
)
def test_what_the_protocol_cannot_carry_is_refused_at_load(content: bytes, reason: str) -> None:
    with pytest.raises(BadModel, match=reason) as caught:
        Engine.load(content)
    assert caught.value.hint


def test_telemetry_is_off_before_the_runtime_loads(tmp_path: Path) -> None:
    """The environment is read when onnxruntime loads; a stand-in for it says what it found then."""
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime" / "__init__.py").write_text("import os; print(os.environ.get('ORT_DISABLE_TELEMETRY'))")
    program = "from onnxpress.serving.engine.runtime import onnxruntime; onnxruntime()"
    environment = {key: value for key, value in os.environ.items() if key != "ORT_DISABLE_TELEMETRY"}
    environment["PYTHONPATH"] = str(tmp_path)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, timeout=60)
    assert done.stdout == "1\n", done.stderr

"""TensorRT: what is missing is named, and engines are kept by GPU, runtime and content; the driver is a stand-in."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from tests.serving.onnx_models import affine, external, identity, model, node

from onnxpress.core.device import parse
from onnxpress.core.errors import BadModel
from onnxpress.serving.engine import Engine, cuda, tensorrt

GPU = cuda.Driver(cuda="13.0", devices=2, name="NVIDIA H200", memory=1 << 37, capability="9.0")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    return tmp_path / "cache"


def test_a_runtime_without_it_says_so() -> None:
    with pytest.raises(BadModel, match="the tensorrt execution provider is not in this onnxruntime") as caught:
        Engine.load(affine(), provider="tensorrt")
    assert "onnxpress[cuda]" in str(caught.value.hint)


def test_missing_libraries_are_named_with_the_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "load", lambda index: None)
    tensorrt.load.cache_clear()
    with pytest.raises(BadModel, match=r"libnvinfer\.so\.10: cannot open") as caught:
        tensorrt.load(0)
    assert "pip install tensorrt-cu13" in str(caught.value.hint)


def test_one_engine_is_built_for_all_batches() -> None:
    weights = {"w": np.ones((4, 3), np.float32)}
    two = [node("MatMul", ["a", "w"], ["h"]), node("Add", ["h", "b"], ["y"])]
    content = model(two, ["a:float32[n,4]", "b:float32[n,3]"], ["y:float32[n,3]"], weights)
    assert tensorrt.profile(content) == {
        "trt_profile_min_shapes": "a:1x4,b:1x3",
        "trt_profile_opt_shapes": "a:16x4,b:16x3",
        "trt_profile_max_shapes": "a:256x4,b:256x3",
    }


@pytest.mark.parametrize("shape", ["batch,length", "4,2"])
def test_a_model_of_other_sizes_has_no_profile(shape: str) -> None:
    assert tensorrt.profile(identity("float32", shape)) == {}


def test_engines_are_kept_by_gpu_runtime_and_content(tmp_path: Path, cache: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(external("w.bin"))
    (tmp_path / "w.bin").write_bytes(np.ones(6, np.float32).tobytes())
    first = tensorrt.cache_folder(str(file), GPU)
    assert first == tensorrt.cache_folder(str(file), GPU)
    assert first.is_relative_to(cache)
    assert first.stat().st_mode & 0o777 == 0o700
    assert not list(tmp_path.glob("*engine*"))  # nothing is written beside the version
    (tmp_path / "w.bin").write_bytes(np.zeros(6, np.float32).tobytes())
    assert first != tensorrt.cache_folder(str(file), GPU)  # a graph's weights are in its engine
    other = cuda.Driver(cuda="13.0", devices=1, name="NVIDIA A10", memory=1 << 34, capability="8.6")
    assert tensorrt.cache_folder(affine(), GPU) != tensorrt.cache_folder(affine(), other)


def test_float32_keeps_its_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "driver", lambda index: GPU)
    found = tensorrt.options(parse("tensorrt:1,memory=2GiB"), affine(), tf32=True)
    assert os.environ["NVIDIA_TF32_OVERRIDE"] == "1"
    assert tensorrt.options(parse("tensorrt:1,memory=2GiB"), affine()) == found
    assert os.environ["NVIDIA_TF32_OVERRIDE"] == "0"
    assert (found["device_id"], found["trt_max_workspace_size"]) == ("1", str(2 << 30))
    assert found["trt_fp16_enable"] == found["trt_int8_enable"] == "0"
    assert found["trt_engine_cache_enable"] == "1"

"""The command `doctor`."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError
from typing import Any

import pytest
from click.testing import CliRunner

from onnxpress.core.errors import BadModel, MissingExtra
from onnxpress.serving.batching import batcher
from onnxpress.serving.cli import doctor
from onnxpress.serving.engine import probe, runtime


def pretend(monkeypatch: pytest.MonkeyPatch, installed: dict[str, str]) -> dict[str, Any]:
    def version(package: str) -> str:
        if package not in installed:
            raise PackageNotFoundError(package)
        return installed[package]

    monkeypatch.setattr(doctor, "version", version)
    found: dict[str, Any] = json.loads(CliRunner().invoke(doctor.doctor, ["--json"], catch_exceptions=False).stdout)
    return found


def test_extras_are_those_that_the_package_declares() -> None:
    found = json.loads(CliRunner().invoke(doctor.doctor, ["--json"], catch_exceptions=False).stdout)
    assert set(found["extras"]) == {
        "base",
        "boosting",
        "cpu",
        "simd",
        "otel",
        "cuda",
        "pytorch",
        "tensorflow",
        "sklearn",
    }
    assert set(found["extras"]["base"]["packages"]) >= {"numpy", "msgspec", "httptools", "click"}
    assert "CPUExecutionProvider" in found["providers"]
    assert found["telemetry_disabled"] is True
    assert found["cpus"] >= 1
    assert found["compiled"] is not str(batcher.__file__).endswith(".py")


def test_what_is_missing_comes_with_the_line_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found = pretend(monkeypatch, {"onnxruntime": "1"})
    assert found["extras"]["pytorch"]["install"] == 'pip install "onnxpress[pytorch]"'
    assert found["extras"]["base"]["install"] == "pip install onnxpress"
    assert found["extras"]["cuda"]["install"] is None  # beside [cpu] it would break both
    text = CliRunner().invoke(doctor.doctor, [], catch_exceptions=False).stdout
    assert 'pip install "onnxpress[tensorflow]"' in text


def test_both_runtimes_are_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    found = pretend(monkeypatch, {"onnxruntime": "1", "onnxruntime-gpu": "1"})
    assert any("share one folder" in problem for problem in found["problems"])


def test_a_gpu_is_told_with_its_libraries_or_with_what_is_missing() -> None:
    state = {
        "driver": "580.1", "cuda": "13.0", "runtime": "13.0", "cudnn": "9.15.1", "load_seconds": 0.1,
        "libraries": {"cublas": "/a/libcublas.so.13", "cudnn": "/b/libcudnn.so.9"},
        "devices": {"cuda:0": {"name": "GPU", "memory": 80 << 30, "capability": "9.0", "ran": "a tiny model ran"}},
    }  # fmt: skip
    assert doctor._told(state) == [
        "CUDA 13.0, cuDNN 9.15.1, driver 580.1 (for CUDA up to 13.0)",
        "  cuda:0: GPU, 80 GiB, compute capability 9.0: a tiny model ran",
        "  its libraries are those in /a, /b",
    ]
    assert doctor._told({"problem": "there is no NVIDIA driver here"}) == [
        "CUDA: cannot be used: there is no NVIDIA driver here"
    ]
    assert doctor._told(None) == []


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (MissingExtra("no onnxruntime", hint="pip install it"), "no onnxruntime; pip install it"),
        (ImportError("no libc"), "onnxruntime is installed and cannot be loaded: no libc"),
    ],
)
def test_a_runtime_that_is_missing_or_broken_is_a_problem(
    error: Exception, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def onnxruntime() -> None:
        raise error

    monkeypatch.setattr(runtime, "onnxruntime", onnxruntime)
    said = CliRunner().invoke(doctor.doctor, [], catch_exceptions=False).stdout
    assert "execution providers: none" in said
    assert f"problem: {problem}\n" in said


def test_without_a_driver_cuda_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def cuda_state() -> None:
        raise BadModel("there is no NVIDIA driver here", hint="install one")

    monkeypatch.setattr(probe, "cuda_state", cuda_state)
    assert doctor._told(doctor._cuda()) == ["CUDA: cannot be used: there is no NVIDIA driver here; install one"]

"""A graph is tried in a process that may die of it."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from tests.export.graph.chain import write  # noqa: E402

from onnxpress.core.manifest import SessionSettings  # noqa: E402
from onnxpress.export.equivalence.runtime import survival  # noqa: E402
from onnxpress.export.equivalence.runtime.survival import death  # noqa: E402


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write(tmp_path / "net.onnx", [("", "Relu", {})])
    return tmp_path / "net.onnx"


def feeds(model: Path) -> dict[str, np.ndarray]:
    (only,) = onnx.load(model).graph.input
    return {only.name: np.zeros([max(one.dim_value, 1) for one in only.type.tensor_type.shape.dim], np.float32)}


def test_a_sound_graph_is_survived(model: Path, tmp_path: Path) -> None:
    assert death(model, SessionSettings(), feeds(model), tmp_path) is None


def test_a_graph_that_is_refused_is_no_death(model: Path, tmp_path: Path) -> None:
    model.write_bytes(model.read_bytes()[:20])
    assert death(model, SessionSettings(), {"x": np.zeros((1, 2), np.float32)}, tmp_path) is None


def test_a_process_that_dies_is_told_by_its_signal(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = subprocess.run

    def dying(command: list[str], **kept: object) -> subprocess.CompletedProcess[bytes]:
        code = f"import os; os.kill(os.getpid(), {int(signal.SIGSEGV)})"
        return run([command[0], "-c", code], **kept)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(subprocess, "run", dying)
    assert death(model, SessionSettings(), {}, tmp_path) == "dies (SIGSEGV)"


def test_a_process_that_does_not_come_back_is_told(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(survival, "_SECONDS", 0.01)
    assert "does not come back" in str(death(model, SessionSettings(), feeds(model), tmp_path))

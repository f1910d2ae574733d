"""A batch of no rows is asked about, in a process that may die of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

onnx = pytest.importorskip("onnx")

from tests.export.graph.chain import write  # noqa: E402

from onnxpress.export.equivalence.runtime import no_rows  # noqa: E402
from onnxpress.export.equivalence.runtime.no_rows import Asked  # noqa: E402
from onnxpress.export.pipeline.export import export  # noqa: E402
from onnxpress.export.source import Source  # noqa: E402
from onnxpress.export.sources.resolve import resolve  # noqa: E402


def test_no_rows_are_asked_about_and_told(tmp_path: Path) -> None:
    write(tmp_path / "net.onnx", [("", "Relu", {})])
    published = export(resolve(str(tmp_path / "net.onnx")), repository=tmp_path / "models")
    told = {check.name: check for check in published.report.checks}["no rows"]
    assert told.passed
    assert told.detail == "answered"
    assert published.manifest.no_rows


@pytest.mark.torch
def test_a_runtime_that_dies_of_no_rows_is_told(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    source = Source(
        reference="gru",
        name="gru",
        framework="pytorch",
        network=torch.nn.GRU(4, 3, batch_first=True),
        example_inputs=(torch.randn(3, 5, 4),),
    )
    published = export(source, repository=tmp_path)
    (told,) = [check.detail for check in published.report.checks if check.name == "no rows"]
    # ONNX Runtime 1.31 aborts here; whatever a later one does, this process lives and the report says it.
    assert published.manifest.no_rows == (told == "answered")


def never_ending() -> subprocess.Popen[str]:
    command = [sys.executable, "-S", "-c", "import time; time.sleep(3600)"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_question_that_nobody_waits_for_is_ended() -> None:
    child = never_ending()
    with pytest.raises(RuntimeError, match="refused meanwhile"), Asked(child):
        raise RuntimeError("refused meanwhile")
    assert child.returncode is not None


def test_a_runtime_that_does_not_come_back_is_told_and_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(no_rows, "_SECONDS", 0.1)
    child = never_ending()
    with Asked(child) as question:
        told = question.answer()
    assert not told.answered
    assert "does not come back within" in told.detail
    assert child.returncode is not None

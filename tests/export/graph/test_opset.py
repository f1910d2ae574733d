"""The opset is a choice among those that are written."""

from __future__ import annotations

from pathlib import Path

import pytest

onnx = pytest.importorskip("onnx")

from tests.export.graph.chain import write  # noqa: E402

from onnxpress.core.errors import UsageError  # noqa: E402
from onnxpress.export.pipeline.export import export  # noqa: E402
from onnxpress.export.source import SourceRef  # noqa: E402
from onnxpress.export.sources.resolve import resolve  # noqa: E402


@pytest.mark.torch
class TestOpset:
    def test_a_newer_one_is_written_and_measured(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("torch")
        (tmp_path / "opset_nets.py").write_text(
            "import torch\ndef build():\n    return torch.nn.Linear(3, 2), (torch.randn(4, 3),)\n"
        )
        monkeypatch.chdir(tmp_path)
        published = export(
            resolve(SourceRef(reference="opset_nets.py:build", opset=21)), repository=tmp_path / "models"
        )
        assert published.manifest.opset == 21

    def test_one_that_is_not_written_is_refused(self, tmp_path: Path) -> None:
        write(tmp_path / "net.onnx", [("", "Relu", {})])
        with pytest.raises(UsageError, match="not one of 18 to 22"):
            resolve(SourceRef(reference=str(tmp_path / "net.onnx"), opset=17))
        with pytest.raises(UsageError, match="keeps the opset"):
            export(resolve(SourceRef(reference=str(tmp_path / "net.onnx"), opset=20)), repository=tmp_path / "models")

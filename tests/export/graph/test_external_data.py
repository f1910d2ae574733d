"""Weights above the limit lie beside the graph: published, loaded and measured like any others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")
import torch

from onnxpress.export.graph import external_data
from onnxpress.export.networks.pytorch import module as from_torch
from onnxpress.export.networks.pytorch.float64 import layers_in_float64
from onnxpress.export.pipeline import verify as verification
from onnxpress.export.pipeline.export import export as export_source
from onnxpress.export.pipeline.publish import Published
from onnxpress.export.source import Source
from onnxpress.export.sources.resolve import resolve
from onnxpress.serving.engine import Engine

pytestmark = pytest.mark.torch
NETS = """
import torch

def small():
    return torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 3)), (torch.randn(4, 64),)

def large():
    # 12 x 8192 x 8192 x 4 bytes = 3 GiB
    layers = []
    for _ in range(12):
        layers += [torch.nn.Linear(8192, 8192, bias=False), torch.nn.LayerNorm(8192), torch.nn.GELU()]
    return torch.nn.Sequential(*layers[:-1]), (torch.randn(2, 8192),)
"""


def export(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch, above: int) -> Published:
    (folder / "heavy_nets.py").write_text(NETS)
    monkeypatch.chdir(folder)
    return export_source(resolve(f"heavy_nets.py:{name}"), repository=folder / "models", external_above=above)


@pytest.mark.parametrize("written_by", ["us", "the exporter"])
def test_weights_beside_the_graph(written_by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if written_by == "the exporter":
        monkeypatch.setattr(from_torch, "LARGE", 1000)
        (tmp_path / "heavy_nets.py").write_text(NETS)
        monkeypatch.chdir(tmp_path)
        resolved = resolve("heavy_nets.py:small")
        source = Source(
            reference="small",
            name="small",
            framework="pytorch",
            network=resolved.network,
            example_inputs=resolved.example_inputs,
        )
        published = export_source(source, repository=tmp_path / "models", external_above=1000)
    else:
        published = export(tmp_path, "small", monkeypatch, above=1000)
    assert external_data.FILE in published.manifest.files
    assert (published.folder / "model.onnx").stat().st_size < 10_000
    assert published.report.floor == "float64"
    assert verification.replay(published.folder, "cpu").worst_multiple <= published.report.limit
    answer = Engine.load(published.folder / "model.onnx").run({"input": np.ones((5, 64), np.float32)})
    assert answer["output"].shape == (5, 3)


def test_layer_by_layer_in_float64_is_the_whole_in_float64() -> None:
    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 2)).eval()
    x = torch.randn(3, 4, dtype=torch.float64)
    with layers_in_float64(net), torch.no_grad():
        found = net(x)
    assert net[0].weight.dtype == torch.float32
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, net.double()(x), rtol=1e-12, atol=1e-12)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_three_gigabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published = export(tmp_path, "large", monkeypatch, above=1 << 30)
    assert published.manifest.files[external_data.FILE].size > 3 << 30
    assert published.report.equivalent
    assert published.report.floor == "float64"

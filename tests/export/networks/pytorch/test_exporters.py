"""torch's two exporters through their seams."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from onnxpress.core.errors import BadModel  # noqa: E402
from onnxpress.core.tensors import parse_spec  # noqa: E402
from onnxpress.export.graph.layer_notes import layer_of  # noqa: E402
from onnxpress.export.networks.pytorch.exporters import export_torchscript  # noqa: E402
from onnxpress.export.networks.pytorch.structure import Flat, Leaf  # noqa: E402

pytestmark = pytest.mark.torch
X = parse_spec("x:float32[batch,4]")


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


class Bakes(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2 if bool(x.sum() > 0) else x


def exported(module: torch.nn.Module, folder: Path) -> object:
    flat = Flat(module, ([Leaf(0)], {}), ["y"]).eval()
    return export_torchscript(flat, [torch.ones(3, 4)], [X], ["y"], opset=18, log=[], folder=folder)


def test_the_older_exporters_node_names_tell_the_layer(tmp_path: Path) -> None:
    proto = exported(Net(), tmp_path)
    layers = [layer_of(node) for node in proto.graph.node if node.op_type == "Gemm"]  # type: ignore[attr-defined]
    assert layers == ["layers.0", "layers.1"]
    names = {value.name for value in proto.graph.initializer}  # type: ignore[attr-defined]
    assert {"layers.0.weight", "layers.1.bias"} <= names


def test_a_value_that_the_older_exporter_would_fix_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="would fix a value of the example"):
        exported(Bakes(), tmp_path)

"""A batch norm is folded into the layer before it with one rounding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
from onnx import numpy_helper  # noqa: E402

from onnxpress.core.arrays import Array  # noqa: E402
from onnxpress.core.tensors import parse_spec  # noqa: E402
from onnxpress.export.networks.wrap import wrap  # noqa: E402
from onnxpress.export.source import Source  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("bias", [True, False])
def test_batch_norms_are_folded_with_one_rounding(bias: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    layer, norm = torch.nn.Conv1d(3, 8, 5, bias=bias), torch.nn.BatchNorm1d(8)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.normal_()
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.1, 3)
    source = Source(
        reference="here",
        name="here",
        framework="pytorch",
        network=torch.nn.Sequential(layer, norm, torch.nn.ReLU()).eval(),
        network_inputs=[parse_spec("x:float32[batch,3,20]")],
    )
    converted = wrap(source).convert(tmp_path)
    graph = converted.graph
    assert [node.op_type for node in graph.node] == ["Conv", "Relu"]
    held = {len(value.dims): numpy_helper.to_array(value) for value in graph.initializer}

    def wide(value: object) -> Array:
        return value.detach().numpy().astype(np.float64)  # type: ignore[attr-defined,no-any-return]

    factor = wide(norm.weight) / np.sqrt(wide(norm.running_var) + norm.eps)
    before = wide(layer.bias) if layer.bias is not None else 0
    np.testing.assert_array_equal(held[3], (wide(layer.weight) * factor[:, None, None]).astype(np.float32))
    np.testing.assert_array_equal(held[1], ((before - wide(norm.running_mean)) * factor + wide(norm.bias)).astype("f4"))
    assert held[3].dtype == held[1].dtype == np.float32

"""An .onnx file whose batch is fixed is carried for any number of rows, where rows do not look at each other."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from onnxpress.core.errors import NotEquivalent
from onnxpress.export.port.onnx_draft import OnnxDraft
from onnxpress.export.source import Source, SourceRef
from onnxpress.export.sources.resolve import resolve

pytestmark = pytest.mark.torch


class Images(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Linear(64, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.norm(self.conv(x))).view(x.size(0), -1))


class Series(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(4, 5, 2, batch_first=True, bidirectional=True), nn.Linear(10, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(x)[0][:, -1])


class Heads(nn.Module):
    """A token for each row, and heads of attention beside the rows."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1)
        rows, time, features = x.shape
        q, k, v = self.qkv(x).reshape(rows, time, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
        found = (q @ k.transpose(-2, -1)).softmax(-1) @ v
        return self.out(found.transpose(1, 2).reshape(rows, time, features))


def exported(module: nn.Module, example: torch.Tensor, path: Path, *, dynamo: bool) -> Source:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            options = {"dynamo": True, "external_data": False, "verbose": False}
            torch.onnx.export(module.eval(), (example,), path, input_names=["x"], **options)
        else:
            file = io.BytesIO()
            torch.onnx.export(module.eval(), (example,), file, dynamo=False, input_names=["x"])
            path.write_bytes(file.getvalue())
    return resolve(SourceRef(reference=str(path)))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize(
    ("build", "shape"), [(Images, (2, 4, 4)), (Series, (6, 4)), (Heads, (5, 8))], ids=["images", "series", "heads"]
)
def test_rows_are_answered_as_the_file_answers_them(
    build: type[nn.Module], shape: tuple[int, ...], rows: int, dynamo: bool, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    file = tmp_path / "net.onnx"
    draft = OnnxDraft(exported(build(), torch.randn(rows, *shape), file, dynamo=dynamo), "net.safetensors")
    (tmp_path / "net.py").write_text(draft.code.text)
    target = draft.target(tmp_path / "net.py")
    rungs = list(draft.rungs(target))
    assert all(rung.holds is not False for rung in rungs)
    assert f"the file takes a batch of {rows}, and the code any" in rungs[0].differences[-1]

    session = onnxruntime.InferenceSession(file)
    x = np.random.default_rng(3).normal(size=(3 * rows, *shape)).astype(np.float32)
    wanted = [session.run(None, {"x": x[n : n + rows]})[0] for n in range(0, len(x), rows)]
    (mine,) = target.answer({"x": x}).values()
    np.testing.assert_allclose(mine, np.concatenate(wanted), atol=1e-5)


@pytest.mark.parametrize(
    "nodes",
    [
        [helper.make_node("Softmax", ["x"], ["y"], axis=0)],  # of one row it is always 1
        [helper.make_node("ReduceMean", ["x", "first"], ["m"]), helper.make_node("Sub", ["x", "m"], ["y"])],
        [helper.make_node("Reshape", ["x", "turned"], ["t"]), helper.make_node("MatMul", ["x", "t"], ["y"])],
    ],
    ids=["softmax", "mean", "product"],
)
@pytest.mark.parametrize("rows", [1, 3])
def test_rows_that_look_at_each_other_keep_the_refusal(nodes: list[Any], rows: int, tmp_path: Path) -> None:
    tensors = {"first": np.array([0]), "turned": np.array([3, rows])}
    proto = helper.make_model(
        helper.make_graph(
            nodes,
            "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, 3])],
            [
                helper.make_tensor_value_info(
                    "y",
                    TensorProto.FLOAT,
                    [rows, rows if len(nodes[0].input) > 1 and nodes[0].op_type == "Reshape" else 3],
                )
            ],
            [numpy_helper.from_array(value.astype(np.int64), name) for name, value in tensors.items()],
        ),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    onnx.save(proto, tmp_path / "net.onnx")
    with pytest.raises(NotEquivalent, match="fixed batch"):
        OnnxDraft(resolve(SourceRef(reference=str(tmp_path / "net.onnx"))), "net.safetensors")

"""Attention spelled out says what torch's own says, also where a query may look at nothing; and it survives export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from onnxpress.core.tensors import parse_spec
from onnxpress.export.networks.pytorch.spelled_out import attention
from onnxpress.export.pipeline.export import export
from onnxpress.export.source import Source
from onnxpress.serving.engine import Engine

pytestmark = pytest.mark.torch
LOOKS_AT_NOTHING = torch.tensor([[True, False, False], [False, False, False], [True, True, False], [False, True, True]])


def draw(*shape: int) -> Any:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"is_causal": True},
        {"scale": 0.3},
        {"attn_mask": LOOKS_AT_NOTHING},
        {"attn_mask": torch.zeros(4, 3, dtype=torch.float64).masked_fill(~LOOKS_AT_NOTHING, -torch.inf)},
        {"attn_mask": draw(2, 1, 4, 3)},
    ],
    ids=lambda arguments: " ".join(arguments) or "plain",
)
def test_says_what_torch_says(arguments: dict[str, Any]) -> None:
    query, key, value = draw(2, 4, 4, 8), draw(2, 4, 3, 8), draw(2, 4, 3, 5)
    expected = scaled_dot_product_attention(query, key, value, **arguments)
    torch.testing.assert_close(attention(query, key, value, **arguments), expected, rtol=1e-12, atol=1e-12)


def test_fewer_heads_of_keys_than_of_queries() -> None:
    query, key, value = draw(2, 4, 3, 8), draw(2, 2, 3, 8), draw(2, 2, 3, 8)
    expected = scaled_dot_product_attention(query, key, value, enable_gqa=True)
    torch.testing.assert_close(attention(query, key, value, enable_gqa=True), expected, rtol=1e-12, atol=1e-12)


class Attends(nn.Module):
    """The function is imported by its own name, as many models do; its float bias kills torch's own decomposition."""

    def __init__(self, *, bias: bool) -> None:
        super().__init__()
        self.project = nn.Linear(8, 24)
        self.bias = nn.Parameter(torch.randn(2, 1, 1)) if bias else None

    def forward(self, x, mask):
        batch, length, width = x.shape
        query, key, value = (
            part.view(batch, length, 2, width // 2).transpose(1, 2) for part in self.project(x).chunk(3, -1)
        )
        allowed = (mask[:, None, None, :] != 0) & torch.ones(length, length, dtype=torch.bool).tril()
        if self.bias is not None:
            allowed = self.bias + torch.zeros(batch, 2, length, length).masked_fill(~allowed, -torch.inf)
        found = scaled_dot_product_attention(query, key, value, attn_mask=allowed)
        return found.transpose(1, 2).reshape(batch, length, width)


@pytest.mark.parametrize("bias", [False, True], ids=["bool mask", "float bias"])
def test_left_padded_rows_of_a_decoder_are_answered_like_torch_does(bias: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Attends(bias=bias).eval()
    mask = torch.tensor([[0, 0, 1, 1, 1], [0, 1, 1, 1, 1], [1, 1, 1, 1, 1]])
    source = Source(
        reference="attends",
        name="attends",
        framework="pytorch",
        network=model,
        example_inputs={"x": torch.randn(3, 5, 8), "mask": mask},
        network_inputs=[parse_spec("x:float32[batch,length,8]"), parse_spec("mask:int64[batch,length]")],
    )
    published = export(source, repository=tmp_path)
    assert "dynamo" in published.manifest.source.converter
    x = np.ones((3, 5, 8), np.float32)
    answer = Engine.load(published.folder / "model.onnx").run({"x": x, "mask": mask.numpy()})["output"]
    assert (answer[0, :2] == 0).all()  # what may look at nothing
    with torch.no_grad():
        np.testing.assert_allclose(answer, model(torch.from_numpy(x), mask).numpy(), rtol=1e-5, atol=1e-6)

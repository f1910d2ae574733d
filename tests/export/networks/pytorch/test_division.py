"""Remainders and rounded divisions are torch's own, of whole numbers of any size and of decimals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
import torch
from torch import nn

from onnxpress.export.networks.pytorch.module import TorchNetwork
from onnxpress.export.source import Source
from onnxpress.serving.engine import Engine

pytestmark = pytest.mark.torch

SECONDS = torch.arange(1_699_999_200, 1_700_053_200, 1800).reshape(-1, 5)
FAR = torch.tensor([[2**40 + 1, -(2**40) - 1, 2**53 - 1, -7, 0]])
BYTES = torch.arange(256, dtype=torch.uint8).reshape(-1, 4)
DECIMALS = (torch.arange(-40, 40).float() / 10).reshape(-1, 4)
LARGE = torch.tensor([[1e9, -1e12, 3e30, 7.0], [-0.0, 1e-20, -1e-20, float("inf")]])


class Calls(nn.Module):
    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Any) -> Any:
        return self.function(x)


def rounded(mode: str, by: float) -> Callable[[Any], Any]:
    return lambda x: torch.div(x, by, rounding_mode=mode)


@pytest.mark.parametrize(
    ("function", "rows"),
    [
        (
            lambda x: (
                *(rounded("floor", 3600)(x), rounded("trunc", -1000)(x), x // 7, x % -7, x.float() % 7),
                torch.div(x, x[:, :1], rounding_mode="floor"),
            ),
            torch.cat([SECONDS, FAR]),
        ),
        (lambda x: (rounded("floor", 3)(x), x // 16, x % 5), BYTES),
        (lambda x: (rounded("floor", -7)(x), rounded("trunc", 1000)(x)), FAR.clamp(-(2**31), 2**31 - 1).int()),
        (
            lambda x: (
                *(x // 0.1, x % 0.1, torch.remainder(x, -0.3), torch.fmod(x, 0.2), 1.0 // (x + 0.05)),
                *(rounded("floor", -0.2)(x), rounded("trunc", 0.3)(x), 7.5 % (x + 0.05)),
            ),
            DECIMALS,
        ),
        (lambda x: (x % 7, x // 7), LARGE),
        (lambda x: (x % x[:1, :1], x // x[:1, :1]), DECIMALS.double()),
    ],
)
def test_every_answer_is_torchs_own(function: Callable[[Any], Any], rows: Any, tmp_path: Path) -> None:
    model = Calls(function)
    source = Source(reference="test", name="m", framework="pytorch", network=model, example_inputs=rows)
    engine = Engine.load(TorchNetwork(source).convert(tmp_path).SerializeToString(), self_test=False)
    wanted = model(rows)
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    answers = engine.run({engine.inputs[0].name: rows.numpy()})
    for got, want in zip(answers.values(), wanted, strict=True):
        assert got.dtype == want.numpy().dtype
        np.testing.assert_array_equal(got, want.numpy())

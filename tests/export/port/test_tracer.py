"""What forward does is followed; where it cannot be, its line is named."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from onnxpress.export.port.from_torch.blocks import block_of
from onnxpress.export.port.refusal import NoCorrespondence
from onnxpress.export.port.steps import Block

pytestmark = pytest.mark.torch


def traced(module: nn.Module, *shapes: tuple[int, ...]) -> Block:
    given = [(torch.randn(3, *shape), torch.randn(5, *shape)) for shape in shapes]
    return block_of(module.eval(), given, {})


class BySize(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> Any:
        if x.dim() == 3:
            x = x.reshape(x.shape[0], -1)
        return self.linear(x)


class ByValue(BySize):
    def forward(self, x: torch.Tensor) -> Any:
        if x.sum() > 0:
            return self.linear(x)
        return x


class ByBatch(BySize):
    def forward(self, x: torch.Tensor) -> Any:
        return self.linear(x) if x.shape[0] > 1 else x


def test_a_way_that_depends_on_the_rank_is_followed() -> None:
    names = [step.name for step in traced(BySize(), (2, 3)).steps if step.kind == "function"]
    assert "reshape" in names
    assert "reshape" not in [step.name for step in traced(BySize(), (6,)).steps]


@pytest.mark.parametrize(("module", "said"), [(ByValue, "values of a tensor"), (ByBatch, "a size that varies")])
def test_a_way_that_depends_on_a_value_is_refused_by_its_line(module: type[nn.Module], said: str) -> None:
    with pytest.raises(NoCorrespondence, match=said) as caught:
        traced(module(), (6,))
    assert str(caught.value.where).startswith("test_tracer.py:")


def test_the_source_s_own_names_are_kept() -> None:
    class Named(BySize):
        def forward(self, x: torch.Tensor) -> Any:
            scores = self.linear(x)
            return scores + 1

    assert ("scores",) in [step.variables for step in traced(Named(), (6,)).steps]

"""What a module's first call sets is no part of its export: fresh copies are asked, each beginning with other rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")

import torch
from torch import nn

from onnxpress.core.errors import NotEquivalent
from onnxpress.export.api import export


class Scaled(nn.Module):
    """Divides by the largest value that it was shown first, as a careless calibration does."""

    def __init__(self) -> None:
        super().__init__()
        self.scale: Any = None
        self.linear = nn.Linear(4, 2)

    def forward(self, x: Any) -> Any:
        if self.scale is None:
            self.scale = x.abs().amax()
        return self.linear(x / self.scale)


class Centred(nn.Module):
    """The same in a buffer and a flag."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(4))
        self.ready = False

    def forward(self, x: Any) -> Any:
        if not self.ready:
            self.mean.copy_(x.mean(0))
            self.ready = True
        return x - self.mean


class Remembers(nn.Module):
    """A sound one: what its first call makes does not depend on the rows."""

    def __init__(self) -> None:
        super().__init__()
        self.table: Any = None

    def forward(self, x: Any) -> Any:
        if self.table is None or self.table.shape[0] != x.shape[1]:
            self.table = torch.arange(x.shape[1], dtype=torch.float32)
        return x * self.table


@pytest.mark.parametrize("kind", [Scaled, Centred])
def test_state_that_the_first_call_sets_is_refused(kind: Any, tmp_path: Path) -> None:
    model = kind().eval()
    with pytest.raises(NotEquivalent, match="what its first call was about"):
        export(model, name="m", repository=tmp_path, example=torch.randn(4, 4))
    assert not (tmp_path / "m").exists()


def test_a_table_that_the_first_call_makes_is_no_state(tmp_path: Path) -> None:
    model = Remembers().eval()
    assert export(model, name="m", repository=tmp_path, example=torch.randn(4, 4)).report.equivalent
    assert model.table is None

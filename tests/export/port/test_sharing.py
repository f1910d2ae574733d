"""Layers and weights that several modules have: one layer, or one weight, in what is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.export.port.formatting import assert_formatted
from torch import nn

from onnxpress.export.port.draft import Draft
from onnxpress.export.source import SourceRef
from onnxpress.export.sources.resolve import from_object

pytestmark = [pytest.mark.torch, pytest.mark.tensorflow]


class Branch(nn.Module):
    """Given a layer that others are given too."""

    def __init__(self, layer: nn.Module, outputs: int) -> None:
        super().__init__()
        self.layer, self.out, self.drop = layer, nn.Linear(8, outputs), nn.Dropout(0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.drop(torch.relu(self.layer(x))))


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layer = nn.Linear(6, 8)
        self.first, self.second = Branch(layer, 3), nn.Sequential(nn.Tanh(), Branch(layer, 4))

    def forward(self, x: torch.Tensor) -> Any:
        return self.first(x), self.second(x * 2)


class Mixed(nn.Module):
    """Blocks of a list that all have one layer beside their own."""

    def __init__(self) -> None:
        super().__init__()
        mix = nn.Linear(8, 8)
        self.start, self.blocks = nn.Linear(6, 8), nn.ModuleList(Branch(mix, 8) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.start(x)
        for block in self.blocks:
            x = x + block(x)
        return x


class Tables(nn.Module):
    def __init__(self, table: nn.Embedding) -> None:
        super().__init__()
        self.table = table

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.table(ids)


class Answers(nn.Module):
    """The table of what comes in is that of what goes out, in a class that the table is not in."""

    def __init__(self, table: nn.Embedding) -> None:
        super().__init__()
        self.logits = nn.Linear(8, 11)
        self.logits.weight = table.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.logits(x)


class Language(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tables = Tables(nn.Embedding(11, 8))
        self.fc, self.answers = nn.Linear(8, 8), Answers(self.tables.table)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.answers(torch.tanh(self.fc(self.tables(ids))))


class Translation(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        table = nn.Embedding(11, 8)
        self.encoder, self.decoder, self.out = Tables(table), Tables(table), nn.Linear(8, 3)

    def forward(self, ids: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        return self.out(self.encoder(ids).mean(1, keepdim=True) + self.decoder(others))


class Mirrored(nn.Module):
    """Two layers of one weight, each with its own bias."""

    def __init__(self) -> None:
        super().__init__()
        self.there, self.back = nn.Linear(6, 6), nn.Linear(6, 6)
        self.back.weight = self.there.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.back(torch.relu(self.there(x)))


def _ids(width: int) -> torch.Tensor:
    return torch.arange(8 * width).reshape(8, width) % 11


def _x() -> torch.Tensor:
    return torch.randn(8, 6, generator=torch.Generator().manual_seed(0))


SHARING: dict[str, tuple[Callable[[], nn.Module], tuple[torch.Tensor, ...], str]] = {
    "branches": (Branches, (_x(),), "self.second_1_out("),
    "mixed": (Mixed, (_x(),), "self.blocks_0_layer("),
    "language": (Language, (_ids(5),), "ops.transpose(self.tables_table.embeddings)"),
    "translation": (Translation, (_ids(5), _ids(4)), "self.encoder_table(others)"),
    "mirrored": (Mirrored, (_x(),), "self.there.kernel) + self.back_bias"),
}


def _draft(kind: str, path: Path) -> Draft:
    torch.manual_seed(0)
    build, example, _ = SHARING[kind]
    draft = Draft(from_object(build().eval(), "net", SourceRef(reference="nets:build"), {}, example), "nets.weights.h5")
    path.write_text(draft.code.text)
    return draft


@pytest.mark.parametrize("kind", SHARING)
def test_every_rung_holds(kind: str, tmp_path: Path) -> None:
    written = tmp_path / "nets.py"
    draft = _draft(kind, written)
    rungs = list(draft.rungs(draft.target(written)))
    assert [rung.name for rung in rungs if not rung.holds] == []
    assert SHARING[kind][2] in draft.code.text.replace("\n        ", "")
    assert_formatted(written)


@pytest.mark.parametrize(
    ("kind", "right", "wrong", "rung"),
    [
        ("translation", "self.encoder_table(others)", "ops.stop_gradient(self.encoder_table(others))", "gradients"),
        ("mirrored", "self.there.kernel)", "ops.stop_gradient(self.there.kernel))", "gradients"),
        ("mirrored", "self.there.kernel)", "ops.transpose(self.there.kernel))", "answers"),
    ],
)
def test_a_fault_is_caught(kind: str, right: str, wrong: str, rung: str, tmp_path: Path) -> None:
    written = tmp_path / "nets.py"
    draft = _draft(kind, written)
    assert right in draft.code.text
    written.write_text(draft.code.text.replace(right, wrong))
    assert rung in [found.name for found in draft.rungs(draft.target(written)) if found.holds is False]

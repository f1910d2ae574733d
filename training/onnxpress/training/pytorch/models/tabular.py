"""The tabular network in PyTorch. Read beside the Keras one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from onnxpress.training.pytorch.layers import dense, embedding


class Columns(nn.Module):
    """Numbers and embedded categories side by side, then dense layers; see families.Tabular."""

    def __init__(
        self, width: int, embeddings: list[list[int]], hidden: list[int], dropout: float, outputs: int
    ) -> None:
        super().__init__()
        self.embeddings = nn.ModuleDict(
            {f"embedding_{number}": embedding(size, wide) for number, (size, wide) in enumerate(embeddings)}
        )
        inputs = width + sum(wide for _, wide in embeddings)
        self.trunk = nn.Sequential()
        for number, units in enumerate(hidden):
            self.trunk.add_module(f"hidden_{number}", dense(inputs, units))
            self.trunk.add_module(f"relu_{number}", nn.ReLU())
            self.trunk.add_module(f"dropout_{number}", nn.Dropout(dropout))
            inputs = units
        self.trunk.add_module("outputs", dense(inputs, outputs))

    def embedded(self, categories: Tensor) -> list[Tensor]:
        """(batch, columns) int64 → (batch, width) of each column."""
        return [table(categories[:, column]) for column, table in enumerate(self.embeddings.values())]


class Mixed(Columns):
    """Numbers and categories."""

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        """(batch, width) float32, (batch, columns) int64 → (batch, outputs)."""
        result: Tensor = self.trunk(torch.cat([numbers, *self.embedded(categories)], dim=1))
        return result


class Numbers(Columns):
    """Numbers alone."""

    def forward(self, numbers: Tensor) -> Tensor:
        """(batch, width) float32 → (batch, outputs)."""
        result: Tensor = self.trunk(numbers)
        return result


class Categories(Columns):
    """Categories alone."""

    def forward(self, categories: Tensor) -> Tensor:
        """(batch, columns) int64 → (batch, outputs)."""
        result: Tensor = self.trunk(torch.cat(self.embedded(categories), dim=1))
        return result


def build(width: int, embeddings: list[list[int]], hidden: list[int], dropout: float, outputs: int) -> nn.Module:
    """A fresh network; its inputs are `numbers` where there is a width, and `categories` where there are embeddings."""
    kind = Mixed if width and embeddings else Numbers if width else Categories
    return kind(width, embeddings, hidden, dropout, outputs)

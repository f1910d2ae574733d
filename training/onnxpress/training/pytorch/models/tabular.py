"""The tabular network in PyTorch: numbers and embedded categories, then dense layers. Read beside the Keras one."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from onnxpress.training.pytorch.models.layers import dense, embedding


class _Embeddings(nn.Module):
    """ids (batch, columns) int64 → (batch, the sum of the widths) float32, one table for each column."""

    def __init__(self, sizes: list[list[int]]) -> None:
        super().__init__()
        for number, (size, width) in enumerate(sizes):
            self.add_module(f"embedding_{number}", embedding(size, width))

    def forward(self, categories: Tensor) -> Tensor:
        return torch.cat([table(categories[:, number]) for number, table in enumerate(self.children())], dim=1)


class _Mixed(nn.Module):
    """numbers (batch, width) float32, categories (batch, columns) int64 → logits (batch, outputs) float32."""

    def __init__(self, embeddings: nn.Module, trunk: nn.Module) -> None:
        super().__init__()
        self.embeddings, self.trunk = embeddings, trunk

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        return self.trunk(torch.cat([numbers, self.embeddings(categories)], dim=1))


class _OfNumbers(nn.Module):
    """numbers (batch, width) float32 → logits (batch, outputs) float32."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, numbers: Tensor) -> Tensor:
        return self.trunk(numbers)


class _OfCategories(nn.Module):
    """categories (batch, columns) int64 → logits (batch, outputs) float32."""

    def __init__(self, embeddings: nn.Module, trunk: nn.Module) -> None:
        super().__init__()
        self.embeddings, self.trunk = embeddings, trunk

    def forward(self, categories: Tensor) -> Tensor:
        return self.trunk(self.embeddings(categories))


def build(width: int, embeddings: list[list[int]], hidden: list[int], dropout: float, outputs: int) -> nn.Module:
    """A fresh network, numbers (batch, width) float32 and categories (batch, columns) int64 → logits (batch, outputs).

    `embeddings` are [ids, width] of each column of categories. The input of which there are none is left out: `numbers`
    where `width` is 0, `categories` where `embeddings` is empty. See families.Tabular.
    """
    layers = OrderedDict[str, nn.Module]()
    inputs = width + sum(columns for _, columns in embeddings)
    for number, units in enumerate(hidden):
        layers[f"dense_{number}"] = dense(inputs, units)
        layers[f"relu_{number}"] = nn.ReLU()
        layers[f"dropout_{number}"] = nn.Dropout(dropout)
        inputs = units
    layers["logits"] = dense(inputs, outputs)
    trunk = nn.Sequential(layers)
    if not embeddings:
        return _OfNumbers(trunk)
    return _Mixed(_Embeddings(embeddings), trunk) if width else _OfCategories(_Embeddings(embeddings), trunk)

"""The autoencoder's network in PyTorch: dense layers down and up again. Read beside the Keras one."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from onnxpress.training.pytorch.models.layers import dense


class _Embedded(nn.Module):
    """scaled (batch, width) float32 → the same, its last columns of 0 and 1 as vectors: a table's row is a product."""

    def __init__(self, embedded: list[list[int]]) -> None:
        super().__init__()
        self.sizes = [size for _, size, _ in embedded]
        self.first = embedded[0][0]
        for number, (_, size, vector) in enumerate(embedded):
            self.add_module(f"embedding_{number}", dense(size, vector, bias=False))

    def forward(self, scaled: Tensor) -> Tensor:
        parts = scaled[:, self.first :].split(self.sizes, dim=1)
        vectors = [table(part) for table, part in zip(self.children(), parts, strict=True)]
        return torch.cat([scaled[:, : self.first], *vectors], dim=1)


def build(width: int, hidden: list[int], dropout: float, embedded: list[list[int]] | None = None) -> nn.Sequential:
    """A fresh network, scaled (batch, width) float32 → decoded (batch, width) float32 in (0, 1).

    `hidden` are unit counts, `dropout` the rate after the first and the last hidden layer, `embedded` the [first
    column, columns, width of the vector] of categories, the last ones of the width. See families.Autoencoder.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    inputs = width
    if embedded:
        layers["embedded"] = _Embedded(embedded)
        inputs += sum(vector - size for _, size, vector in embedded)
    for number, units in enumerate(hidden):
        layers[f"hidden_{number}"] = dense(inputs, units)
        layers[f"relu_{number}"] = nn.ReLU()
        if number in (0, len(hidden) - 1):
            layers[f"dropout_{number}"] = nn.Dropout(dropout)
        inputs = units
    layers["rebuilt"] = dense(inputs, width)
    layers["decoded"] = nn.Sigmoid()
    return nn.Sequential(layers)

"""The autoencoder's network in PyTorch: dense layers down and up again. Read beside the Keras one."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from onnxpress.training.pytorch.models.layers import dense


def build(width: int, hidden: list[int], dropout: float) -> nn.Sequential:
    """A fresh network, scaled (batch, width) float32 → decoded (batch, width) float32 in (0, 1).

    `hidden` are unit counts, `dropout` the rate after the first and the last hidden layer. See families.Autoencoder.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    inputs = width
    for number, units in enumerate(hidden):
        layers[f"hidden_{number}"] = dense(inputs, units)
        layers[f"relu_{number}"] = nn.ReLU()
        if number in (0, len(hidden) - 1):
            layers[f"dropout_{number}"] = nn.Dropout(dropout)
        inputs = units
    layers["rebuilt"] = dense(inputs, width)
    layers["decoded"] = nn.Sigmoid()
    return nn.Sequential(layers)

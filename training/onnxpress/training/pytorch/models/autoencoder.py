"""The autoencoder's network in PyTorch: dense layers down and up again. Read beside the Keras one."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn


class Network(nn.Module):
    """scaled (batch, width) float32 → decoded (batch, width) float32 in (0, 1)."""

    def __init__(self, width: int, hidden: list[int], dropout: float) -> None:
        super().__init__()
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        units = width
        for number, size in enumerate(hidden):
            layers[f"hidden_{number}"] = _dense(units, size)
            layers[f"relu_{number}"] = nn.ReLU()
            if number in (0, len(hidden) - 1):
                layers[f"dropout_{number}"] = nn.Dropout(dropout)
            units = size
        layers["decoded"] = _dense(units, width)
        layers["sigmoid"] = nn.Sigmoid()
        self.layers = nn.Sequential(layers)

    def forward(self, scaled: Tensor) -> Tensor:
        decoded: Tensor = self.layers(scaled)
        return decoded


def _dense(inputs: int, outputs: int) -> nn.Linear:
    """Glorot uniform weights and zero biases: Keras's default, so that both frameworks start from one distribution."""
    layer = nn.Linear(inputs, outputs)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def build(width: int, hidden: list[int], dropout: float) -> Network:
    """A fresh network; `hidden` are unit counts, `dropout` the rate after the first and the last hidden layer."""
    return Network(width, hidden, dropout)

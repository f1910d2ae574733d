"""The CNN with an LSTM and multi-head attention in PyTorch. Read beside the Keras one."""

from __future__ import annotations

import math
from collections import OrderedDict

from torch import Tensor, nn

from onnxpress.training.pytorch.models import layers


class _Multihead(nn.Module):
    """(batch, time, width) → the same: every step looks at every other, in so many ways at once.

    softmax(Q Kᵀ / √(width / heads)) V of each head, side by side, then projected: Vaswani et al. 2017.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, 1 / math.sqrt(width // heads)
        self.query, self.key = layers.dense(width, width), layers.dense(width, width)
        self.value, self.projection = layers.dense(width, width), layers.dense(width, width)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.query(x), self.key(x), self.value(x))
        )
        weights = (query @ key.transpose(2, 3) * self.scale).softmax(dim=-1)
        return self.projection((weights @ value).transpose(1, 2).flatten(2))


class Network(nn.Module):
    """windows (batch, length, channels) float32 → logits (batch, classes) float32."""

    def __init__(
        self, convolutions: nn.Sequential, lstm: nn.LSTM, attention: nn.Module, norm: nn.Module, head: nn.Sequential
    ) -> None:
        super().__init__()
        self.convolutions, self.lstm, self.attention = convolutions, lstm, attention
        self.attention_norm, self.head = norm, head

    def forward(self, windows: Tensor) -> Tensor:
        x, _ = self.lstm(self.convolutions(windows.transpose(1, 2)).transpose(1, 2))
        x = self.attention_norm(x + self.attention(x))
        return self.head(x.mean(dim=1))


def build(
    length: int,
    channels: int,
    convolutions: list[int],
    kernel: int,
    pool: int,
    lstm: int,
    heads: int,
    dense: list[int],
    dropout: float,
    classes: int,
    epsilon: float,
    momentum: float,
) -> nn.Module:
    """A fresh network, windows (batch, length, channels) float32 → logits (batch, classes) float32.

    Batch norm, ReLU and max pooling by `pool` after each convolution; `dropout` after each of the `dense` layers. See
    families.CnnLstmMultihead.
    """
    x, y = OrderedDict[str, nn.Module](), OrderedDict[str, nn.Module]()
    inputs = channels
    for number, units in enumerate(convolutions):
        x[f"convolution_{number}"] = layers.convolution(inputs, units, kernel, padding="same")
        x[f"convolution_norm_{number}"] = layers.batch_norm(units, epsilon=epsilon, momentum=momentum)
        x[f"convolution_relu_{number}"] = nn.ReLU()
        x[f"pool_{number}"] = nn.MaxPool1d(pool)
        inputs = units
    recurrent = layers.bidirectional_lstm(inputs, lstm)
    inputs = 2 * lstm
    attention, norm = _Multihead(inputs, heads), nn.LayerNorm(inputs, eps=epsilon)
    for number, units in enumerate(dense):
        y[f"dense_{number}"] = layers.dense(inputs, units)
        y[f"dense_relu_{number}"] = nn.ReLU()
        y[f"dense_dropout_{number}"] = nn.Dropout(dropout)
        inputs = units
    y["logits"] = layers.dense(inputs, classes)
    return Network(nn.Sequential(x), recurrent, attention, norm, nn.Sequential(y))

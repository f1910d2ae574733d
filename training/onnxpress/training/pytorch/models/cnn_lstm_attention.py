"""The CNN-LSTM with attention in PyTorch, for feature vectors or characters. Read beside the Keras one."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from onnxpress.training.pytorch.models import layers


class _Attention(nn.Module):
    """(batch, time, features) → (batch, features): the mean over time, weighed by a learned score of each step.

    Additive attention without a query: Bahdanau et al. 2015.
    """

    def __init__(self, features: int, units: int) -> None:
        super().__init__()
        self.attention = layers.dense(features, units)
        self.attention_score = layers.dense(units, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        scores = self.attention_score(torch.tanh(self.attention(x)))
        return (torch.softmax(scores, dim=1) * x).sum(dim=1)


class _Mean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=1)


class _Trunk(nn.Module):
    """(batch, channels, time) → logits (batch, classes)."""

    def __init__(self, convolutions: nn.Module, lstm: nn.LSTM, pooled: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.convolutions, self.lstm, self.pooled, self.head = convolutions, lstm, pooled, head

    def forward(self, x: Tensor, figures: Tensor | None = None) -> Tensor:
        x, _ = self.lstm(self.convolutions(x).transpose(1, 2))
        x = self.pooled(x)
        return self.head(x if figures is None else torch.cat([x, figures], dim=1))


class _OfVectors(nn.Module):
    """scaled (batch, width) float32 → logits; each embedded value is a step of one channel."""

    def __init__(self, width: int, units: int, dropout: float, norm: nn.Module, trunk: nn.Module) -> None:
        super().__init__()
        self.embedding, self.embedding_norm = layers.dense(width, units), norm
        self.embedding_dropout = nn.Dropout(dropout)
        self.trunk = trunk

    def forward(self, scaled: Tensor) -> Tensor:
        x = self.embedding_dropout(self.embedding_norm(self.embedding(scaled)))
        return self.trunk(x.unsqueeze(1))


class _OfCharacters(nn.Module):
    """characters (batch, length) int64 → logits; each is a step of `units` channels."""

    def __init__(self, vocabulary: int, units: int, dropout: float, norm: nn.Module, trunk: nn.Module) -> None:
        super().__init__()
        self.embedding, self.embedding_norm = layers.embedding(vocabulary, units), norm
        self.embedding_dropout = nn.Dropout(dropout)
        self.trunk = trunk

    def forward(self, characters: Tensor) -> Tensor:
        x = self.embedding(characters).transpose(1, 2)
        return self.trunk(self.embedding_dropout(self.embedding_norm(x)))


class _OfCharactersAndFigures(_OfCharacters):
    """The same with figures (batch, features) float32, which enter the head beside what was read."""

    def forward(self, characters: Tensor, figures: Tensor) -> Tensor:  # type: ignore[override]
        x = self.embedding(characters).transpose(1, 2)
        return self.trunk(self.embedding_dropout(self.embedding_norm(x)), figures)


def build(
    width: int | None,
    vocabulary: int | None,
    length: int | None,
    embedding: int,
    convolutions: list[int],
    kernel: int,
    pool: int,
    lstm: int,
    attention: int,
    dense: list[int],
    dropout: float,
    dense_dropouts: list[float],
    classes: int,
    epsilon: float,
    momentum: float,
    features: int = 0,
) -> nn.Module:
    """A fresh network, scaled (batch, width) float32 or characters (batch, length) int64 → logits (batch, classes).

    Characters where `width` is None: ids below `vocabulary`; with `features`, a second input of as many figures
    (batch, features) float32. `attention` 0 is the mean over time. See families.CnnLstmAttention.
    """
    sizes = {"epsilon": epsilon, "momentum": momentum}
    x, y = OrderedDict[str, nn.Module](), OrderedDict[str, nn.Module]()
    inputs = 1 if width else embedding
    for number, filters in enumerate(convolutions):
        x[f"convolution_{number}"] = layers.convolution(inputs, filters, kernel, padding="same")
        x[f"convolution_relu_{number}"] = nn.ReLU()
        x[f"convolution_norm_{number}"] = layers.batch_norm(filters, **sizes)
        x[f"convolution_dropout_{number}"] = nn.Dropout(dropout)
        inputs = filters
    x["pool"] = nn.MaxPool1d(pool)
    recurrent = layers.bidirectional_lstm(inputs, lstm)
    inputs = 2 * lstm
    pooled = _Attention(inputs, attention) if attention else _Mean()
    inputs += features
    for number, (units, rate) in enumerate(zip(dense, dense_dropouts, strict=True)):
        y[f"dense_{number}"] = layers.dense(inputs, units)
        y[f"dense_relu_{number}"] = nn.ReLU()
        y[f"dense_dropout_{number}"] = nn.Dropout(rate)
        inputs = units
    y["logits"] = layers.dense(inputs, classes)
    trunk = _Trunk(nn.Sequential(x), recurrent, pooled, nn.Sequential(y))
    norm = layers.batch_norm(embedding, **sizes)
    if width:
        return _OfVectors(width, embedding, dropout, norm, trunk)
    assert vocabulary is not None
    kind = _OfCharactersAndFigures if features else _OfCharacters
    return kind(vocabulary, embedding, dropout, norm, trunk)

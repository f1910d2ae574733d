"""The CNN-LSTM with attention in PyTorch. Read beside the Keras one."""

from __future__ import annotations

from torch import Tensor, nn

from onnxpress.training.pytorch.layers import Attention, batch_norm, bidirectional_lstm, convolution, dense, embedding


class Sequence(nn.Module):
    """What follows the embedding: convolutions, LSTM, attention, dense layers; see families.CnnLstmAttention."""

    def __init__(
        self,
        *,
        channels: int,
        convolutions: list[int],
        kernel: int,
        pool: int,
        lstm: int,
        attention: int,
        dense_units: list[int],
        dropout: float,
        dense_dropouts: list[float],
        classes: int,
        epsilon: float,
        momentum: float,
    ) -> None:
        super().__init__()
        self.convolutions = nn.Sequential()
        for number, filters in enumerate(convolutions):
            self.convolutions.add_module(f"conv_{number}", convolution(channels, filters, kernel, same=True))
            self.convolutions.add_module(f"conv_relu_{number}", nn.ReLU())
            self.convolutions.add_module(f"conv_norm_{number}", batch_norm(filters, epsilon=epsilon, momentum=momentum))
            self.convolutions.add_module(f"conv_dropout_{number}", nn.Dropout(dropout))
            channels = filters
        self.convolutions.add_module("pool", nn.MaxPool1d(pool))
        self.lstm = bidirectional_lstm(channels, lstm)
        self.attention = Attention(2 * lstm, attention) if attention else None
        self.head = nn.Sequential()
        inputs = 2 * lstm
        for number, (units, rate) in enumerate(zip(dense_units, dense_dropouts, strict=True)):
            self.head.add_module(f"dense_{number}", dense(inputs, units))
            self.head.add_module(f"dense_relu_{number}", nn.ReLU())
            self.head.add_module(f"dense_dropout_{number}", nn.Dropout(rate))
            inputs = units
        self.head.add_module("logits", dense(inputs, classes))

    def forward(self, embedded: Tensor) -> Tensor:
        """(batch, channels, time) → logits (batch, classes)."""
        sequence, _ = self.lstm(self.convolutions(embedded).transpose(1, 2))
        over_time = self.attention(sequence) if self.attention is not None else sequence.mean(dim=1)
        result: Tensor = self.head(over_time)
        return result


class Vectors(nn.Module):
    """Feature vectors, embedded by a dense layer whose units become a sequence of single channels."""

    def __init__(self, width: int, units: int, dropout: float, epsilon: float, momentum: float, rest: Sequence) -> None:
        super().__init__()
        self.embedding = dense(width, units)
        self.embedding_norm = batch_norm(units, epsilon=epsilon, momentum=momentum)
        self.embedding_dropout = nn.Dropout(dropout)
        self.rest = rest

    def forward(self, scaled: Tensor) -> Tensor:
        """(batch, width) float32 → logits (batch, classes)."""
        embedded = self.embedding_dropout(self.embedding_norm(self.embedding(scaled)))
        result: Tensor = self.rest(embedded.unsqueeze(1))
        return result


class Characters(nn.Module):
    """Strings as character ids, embedded."""

    def __init__(
        self, vocabulary: int, units: int, dropout: float, epsilon: float, momentum: float, rest: Sequence
    ) -> None:
        super().__init__()
        self.embedding = embedding(vocabulary, units)
        self.embedding_norm = batch_norm(units, epsilon=epsilon, momentum=momentum)
        self.embedding_dropout = nn.Dropout(dropout)
        self.rest = rest

    def forward(self, characters: Tensor) -> Tensor:
        """(batch, length) int64 → logits (batch, classes)."""
        embedded = self.embedding(characters).transpose(1, 2)
        result: Tensor = self.rest(self.embedding_dropout(self.embedding_norm(embedded)))
        return result


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
) -> nn.Module:
    """A fresh network: `scaled` (batch, width) float32 or `characters` (batch, length) int64 → (batch, classes)."""
    del length  # torch does not have to know
    rest = Sequence(
        channels=1 if width else embedding,
        convolutions=convolutions,
        kernel=kernel,
        pool=pool,
        lstm=lstm,
        attention=attention,
        dense_units=dense,
        dropout=dropout,
        dense_dropouts=dense_dropouts,
        classes=classes,
        epsilon=epsilon,
        momentum=momentum,
    )
    if width:
        return Vectors(width, embedding, dropout, epsilon, momentum, rest)
    assert vocabulary is not None
    return Characters(vocabulary, embedding, dropout, epsilon, momentum, rest)

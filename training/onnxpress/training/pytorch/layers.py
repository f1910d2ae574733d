"""Layers that start as Keras's do by default, which torch's own do not."""

from __future__ import annotations

from torch import Tensor, nn


def dense(inputs: int, units: int, *, bias: bool = True) -> nn.Linear:
    """Glorot uniform weights and zero biases (Glorot and Bengio 2010)."""
    layer = nn.Linear(inputs, units, bias=bias)
    nn.init.xavier_uniform_(layer.weight)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def convolution(channels: int, filters: int, kernel: int, *, stride: int = 1, same: bool = False) -> nn.Conv1d:
    """Over (batch, channels, time), Glorot uniform kernels and zero biases; `same` or valid padding."""
    layer = nn.Conv1d(channels, filters, kernel, stride=stride, padding="same" if same else 0)
    nn.init.xavier_uniform_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


def batch_norm(channels: int, *, epsilon: float, momentum: float) -> nn.BatchNorm1d:
    """`momentum` in Keras's sense: the share of the old statistics that is kept."""
    return nn.BatchNorm1d(channels, eps=epsilon, momentum=1 - momentum)


def embedding(size: int, width: int) -> nn.Embedding:
    """Uniform between -0.05 and 0.05."""
    layer = nn.Embedding(size, width)
    nn.init.uniform_(layer.weight, -0.05, 0.05)
    return layer


def bidirectional_lstm(inputs: int, units: int) -> nn.LSTM:
    """Over (batch, time, inputs): Glorot uniform kernels, orthogonal recurrent ones, forget gates' biases at 1.

    Keras has one bias where torch adds two: the second is 0 and does not learn, so both have as many parameters.
    """
    layer = nn.LSTM(inputs, units, batch_first=True, bidirectional=True)
    for name, parameter in layer.named_parameters():
        if name.startswith("weight_ih"):
            nn.init.xavier_uniform_(parameter)
        elif name.startswith("weight_hh"):
            nn.init.orthogonal_(parameter)
        else:
            nn.init.zeros_(parameter)
            if name.startswith("bias_ih"):
                parameter.data[units : 2 * units] = 1.0  # gates in the order input, forget, cell, output
            else:
                parameter.requires_grad_(False)
    return layer


class Attention(nn.Module):
    """Additive attention over time (Bahdanau et al. 2015): weights softmax(v · tanh(W h + b)), a weighted sum."""

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.attention_hidden = dense(inputs, units)
        self.attention_score = dense(units, 1, bias=False)

    def forward(self, sequence: Tensor) -> Tensor:
        """(batch, time, inputs) → (batch, inputs)."""
        scores = self.attention_score(self.attention_hidden(sequence).tanh())
        result: Tensor = (scores.softmax(dim=1) * sequence).sum(dim=1)
        return result

"""Layers that start as Keras's do, which torch's own do not. Read beside the Keras ones."""

from __future__ import annotations

from torch import nn


def dense(inputs: int, units: int, *, bias: bool = True) -> nn.Linear:
    """(…, inputs) → (…, units); Glorot uniform weights, zero biases."""
    layer = nn.Linear(inputs, units, bias=bias)
    nn.init.xavier_uniform_(layer.weight)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def convolution(inputs: int, filters: int, kernel: int, *, stride: int = 1, padding: str = "valid") -> nn.Conv1d:
    """(batch, inputs, time) → (batch, filters, time); Glorot uniform weights, zero biases."""
    layer = nn.Conv1d(inputs, filters, kernel, stride=stride, padding=padding)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def convolution_2d(inputs: int, filters: int, kernel: int) -> nn.Conv2d:
    """(batch, inputs, height, width) → (batch, filters, height, width); Glorot uniform weights, zero biases."""
    layer = nn.Conv2d(inputs, filters, kernel, padding="same")
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def batch_norm_2d(channels: int, *, epsilon: float, momentum: float) -> nn.BatchNorm2d:
    """(batch, channels, height, width) → the same; see `batch_norm`."""
    return nn.BatchNorm2d(channels, eps=epsilon, momentum=1 - momentum)


def batch_norm(channels: int, *, epsilon: float, momentum: float) -> nn.BatchNorm1d:
    """(batch, channels) or (batch, channels, time) → the same; `momentum` is the share of the old statistics kept.

    The running variance is of the sample here and of the population in Keras: n / (n - 1) apart while training, for
    batches of n values a channel.
    """
    return nn.BatchNorm1d(channels, eps=epsilon, momentum=1 - momentum)


def embedding(size: int, width: int) -> nn.Embedding:
    """ids (…) int64 → (…, width); uniform in (-0.05, 0.05)."""
    layer = nn.Embedding(size, width)
    nn.init.uniform_(layer.weight, -0.05, 0.05)
    return layer


def bidirectional_lstm(inputs: int, units: int) -> nn.LSTM:
    """(batch, time, inputs) → (batch, time, 2 × units), forwards and backwards side by side.

    Glorot uniform kernels, orthogonal recurrent ones, biases zero but one for the forget gate (Jozefowicz et al. 2015).
    torch adds two biases where Keras has one: the second stays at zero and learns nothing.
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
            nn.init.ones_(parameter.data[units : 2 * units])  # gates are input, forget, cell, output, as in Keras
        if name.startswith("bias_hh"):
            parameter.requires_grad_(False)
    return layer

"""Layers with their first weights said, for the PyTorch networks must start alike. Read beside the PyTorch ones."""

from __future__ import annotations

from keras import initializers, layers


def dense(units: int, *, name: str, bias: bool = True) -> layers.Dense:
    """(…, inputs) → (…, units); Glorot uniform weights, zero biases."""
    return layers.Dense(units, use_bias=bias, kernel_initializer="glorot_uniform", bias_initializer="zeros", name=name)


def convolution(filters: int, kernel: int, *, name: str, stride: int = 1, padding: str = "valid") -> layers.Conv1D:
    """(batch, time, inputs) → (batch, time, filters); Glorot uniform weights, zero biases."""
    return layers.Conv1D(
        filters,
        kernel,
        strides=stride,
        padding=padding,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        name=name,
    )


def convolution_2d(filters: int, kernel: int, *, name: str) -> layers.Conv2D:
    """(batch, height, width, inputs) → (batch, height, width, filters); Glorot uniform weights, zero biases."""
    return layers.Conv2D(
        filters,
        kernel,
        padding="same",
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        name=name,
    )


def batch_norm(*, name: str, epsilon: float, momentum: float) -> layers.BatchNormalization:
    """(batch, channels) or (batch, time, channels) → the same; `momentum` is the share of the old statistics kept."""
    return layers.BatchNormalization(epsilon=epsilon, momentum=momentum, name=name)


def embedding(size: int, width: int, *, name: str) -> layers.Embedding:
    """ids (…) int64 → (…, width); uniform in (-0.05, 0.05)."""
    return layers.Embedding(size, width, embeddings_initializer=initializers.RandomUniform(-0.05, 0.05), name=name)


def bidirectional_lstm(units: int, *, name: str) -> layers.Bidirectional:
    """(batch, time, inputs) → (batch, time, 2 × units), forwards and backwards side by side.

    Glorot uniform kernels, orthogonal recurrent ones, biases zero but one for the forget gate (Jozefowicz et al. 2015).
    """
    lstm = layers.LSTM(
        units,
        return_sequences=True,
        kernel_initializer="glorot_uniform",
        recurrent_initializer="orthogonal",
        bias_initializer="zeros",
        unit_forget_bias=True,
    )
    return layers.Bidirectional(lstm, merge_mode="concat", name=name)

"""The CNN over windows of motion in Keras. Read beside the PyTorch one."""

from __future__ import annotations

import keras
from keras import layers


def build(
    length: int,
    channels: int,
    filters: list[int],
    kernel: int,
    stride_every: int,
    dense: list[int],
    dropout: float,
    classes: int,
    epsilon: float,
    momentum: float,
) -> keras.Model:
    """A fresh network, windows (batch, length, channels) float32 → logits (batch, classes). See families.Cnn14."""

    def norm(name: str) -> layers.BatchNormalization:
        return layers.BatchNormalization(epsilon=epsilon, momentum=momentum, name=name)

    windows = x = keras.Input((length, channels), name="windows")
    for number, count in enumerate(filters, 1):
        stride = 2 if stride_every and number % stride_every == 0 else 1
        x = layers.Conv1D(count, kernel, strides=stride, padding="valid", name=f"conv_{number}")(x)
        x = norm(f"conv_norm_{number}")(x)
        x = layers.ReLU(name=f"conv_relu_{number}")(x)
    x = layers.GlobalAveragePooling1D(name="mean_over_time")(x)
    for number, units in enumerate(dense, 1):
        x = layers.Dense(units, name=f"dense_{number}")(x)
        x = norm(f"dense_norm_{number}")(x)
        x = layers.ReLU(name=f"dense_relu_{number}")(x)
        if number == 1:
            x = layers.Dropout(dropout, name="dropout")(x)
    logits = layers.Dense(classes, name="logits")(x)
    return keras.Model(windows, logits, name="cnn14")

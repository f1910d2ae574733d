"""The 1-D CNN for windows of motion in Keras: valid convolutions, mean over time, dense. Read beside the PyTorch one.

After Spahr et al., Epilepsia 2025, doi 10.1111/epi.18406.
"""

from __future__ import annotations

import keras
from keras import layers as keras_layers

from onnxpress.training.tensorflow.models import layers


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
    strides: list[int] | None = None,
    dropouts: list[float] | None = None,
) -> keras.Model:
    """A fresh network, windows (batch, length, channels) float32 → logits (batch, classes) float32.

    Every `stride_every`-th convolution has stride 2 (0: none), or each its own of `strides`; batch norm and ReLU after
    each convolution, and where given one of `dropouts`; batch norm and ReLU after each of the `dense` layers,
    `dropout` after the first of these. See families.Cnn14.
    """
    sizes = {"epsilon": epsilon, "momentum": momentum}
    windows = x = keras.Input((length, channels), name="windows")
    for number, units in enumerate(filters):
        stride = 2 if stride_every and (number + 1) % stride_every == 0 else 1
        stride = strides[number] if strides else stride
        x = layers.convolution(units, kernel, stride=stride, name=f"convolution_{number}")(x)
        x = layers.batch_norm(name=f"convolution_norm_{number}", **sizes)(x)
        x = keras_layers.ReLU(name=f"convolution_relu_{number}")(x)
        if dropouts and dropouts[number]:
            x = keras_layers.Dropout(dropouts[number], name=f"convolution_dropout_{number}")(x)
    x = keras_layers.GlobalAveragePooling1D(name="mean")(x)
    for number, units in enumerate(dense):
        x = layers.dense(units, name=f"dense_{number}")(x)
        x = layers.batch_norm(name=f"dense_norm_{number}", **sizes)(x)
        x = keras_layers.ReLU(name=f"dense_relu_{number}")(x)
        if number == 0:
            x = keras_layers.Dropout(dropout, name="dropout")(x)
    logits = layers.dense(classes, name="logits")(x)
    return keras.Model(windows, logits, name="cnn14")

"""The 2-D CNN for spectrograms in Keras. Read beside the PyTorch one."""

from __future__ import annotations

import keras
from keras import layers as keras_layers
from keras import ops

from onnxpress.training.tensorflow.models import layers


def build(
    length: int,
    axes: int,
    bins: int,
    filters: list[int],
    kernel: int,
    dense: list[int],
    dropout: float,
    classes: int,
    epsilon: float,
    momentum: float,
) -> keras.Model:
    """A fresh network, spectrogram (batch, length, axes × bins) float32 → logits (batch, classes) float32.

    Batch norm, ReLU and max pooling by 2 after each convolution over time and frequency; `dropout` after the first of
    the `dense` layers. See families.SpecCnn.
    """
    spectrogram = keras.Input((length, axes * bins), name="spectrogram")
    x = keras_layers.Reshape((length, axes, bins), name="by_axis")(ops.log(spectrogram + 1))
    x = keras_layers.Permute((1, 3, 2), name="picture")(x)
    for number, units in enumerate(filters):
        x = layers.convolution_2d(units, kernel, name=f"convolution_{number}")(x)
        x = layers.batch_norm(name=f"convolution_norm_{number}", epsilon=epsilon, momentum=momentum)(x)
        x = keras_layers.ReLU(name=f"convolution_relu_{number}")(x)
        x = keras_layers.MaxPooling2D(2, name=f"pool_{number}")(x)
    x = keras_layers.GlobalAveragePooling2D(name="mean")(x)
    for number, units in enumerate(dense):
        x = layers.dense(units, name=f"dense_{number}")(x)
        x = keras_layers.ReLU(name=f"dense_relu_{number}")(x)
        if number == 0:
            x = keras_layers.Dropout(dropout, name="dropout")(x)
    logits = layers.dense(classes, name="logits")(x)
    return keras.Model(spectrogram, logits, name="spec_cnn")

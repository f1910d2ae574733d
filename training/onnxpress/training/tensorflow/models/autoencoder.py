"""The autoencoder's network in Keras: dense layers down and up again. Read beside the PyTorch one."""

from __future__ import annotations

import keras
from keras import layers

from onnxpress.training.tensorflow.models.layers import dense


def build(width: int, hidden: list[int], dropout: float) -> keras.Model:
    """A fresh network, scaled (batch, width) float32 → decoded (batch, width) float32 in (0, 1).

    `hidden` are unit counts, `dropout` the rate after the first and the last hidden layer. See families.Autoencoder.
    """
    scaled = x = keras.Input((width,), name="scaled")
    for number, units in enumerate(hidden):
        x = dense(units, name=f"hidden_{number}")(x)
        x = layers.ReLU(name=f"relu_{number}")(x)
        if number in (0, len(hidden) - 1):
            x = layers.Dropout(dropout, name=f"dropout_{number}")(x)
    x = dense(width, name="rebuilt")(x)
    decoded = layers.Activation("sigmoid", name="decoded")(x)
    return keras.Model(scaled, decoded, name="autoencoder")

"""The autoencoder's network in Keras: dense layers down and up again. Read beside the PyTorch one."""

from __future__ import annotations

import keras
from keras import layers


def build(width: int, hidden: list[int], dropout: float) -> keras.Model:
    """A fresh network, scaled (batch, width) float32 → decoded (batch, width) float32 in (0, 1).

    `hidden` are unit counts, `dropout` the rate after the first and the last hidden layer. Keras's Dense starts from
    Glorot uniform weights and zero biases; the PyTorch network is set to the same.
    """
    inputs = x = keras.Input((width,), name="scaled")
    for number, size in enumerate(hidden):
        x = layers.Dense(size, name=f"hidden_{number}")(x)
        x = layers.ReLU(name=f"relu_{number}")(x)
        if number in (0, len(hidden) - 1):
            x = layers.Dropout(dropout, name=f"dropout_{number}")(x)
    x = layers.Dense(width, activation="sigmoid", name="decoded")(x)
    return keras.Model(inputs, x, name="autoencoder")

"""The autoencoder's network in Keras: dense layers down and up again. Read beside the PyTorch one."""

from __future__ import annotations

import keras
from keras import layers

from onnxpress.training.tensorflow.models.layers import dense


def build(width: int, hidden: list[int], dropout: float, embedded: list[list[int]] | None = None) -> keras.Model:
    """A fresh network, scaled (batch, width) float32 → decoded (batch, width) float32 in (0, 1).

    `hidden` are unit counts, `dropout` the rate after the first and the last hidden layer, `embedded` the [first
    column, columns, width of the vector] of categories, the last ones of the width. See families.Autoencoder.
    """
    scaled = x = keras.Input((width,), name="scaled")
    if embedded:  # a table's row is a product with its column of 0 and 1
        parts = [scaled[:, : embedded[0][0]]] if embedded[0][0] else []
        for number, (first, size, vector) in enumerate(embedded):
            parts.append(dense(vector, bias=False, name=f"embedding_{number}")(scaled[:, first : first + size]))
        x = layers.Concatenate(name="embedded")(parts) if len(parts) > 1 else parts[0]
    for number, units in enumerate(hidden):
        x = dense(units, name=f"hidden_{number}")(x)
        x = layers.ReLU(name=f"relu_{number}")(x)
        if number in (0, len(hidden) - 1):
            x = layers.Dropout(dropout, name=f"dropout_{number}")(x)
    x = dense(width, name="rebuilt")(x)
    decoded = layers.Activation("sigmoid", name="decoded")(x)
    return keras.Model(scaled, decoded, name="autoencoder")

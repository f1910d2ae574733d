"""The tabular network in Keras. Read beside the PyTorch one."""

from __future__ import annotations

import keras
from keras import layers


def build(width: int, embeddings: list[list[int]], hidden: list[int], dropout: float, outputs: int) -> keras.Model:
    """A fresh network; its inputs are `numbers` where there is a width, and `categories` where there are embeddings.

    Numbers (batch, width) float32 and embedded categories (batch, columns) int64 side by side, then dense layers →
    (batch, outputs). See families.Tabular.
    """
    inputs, sides = [], []
    if width:
        numbers = keras.Input((width,), name="numbers")
        inputs.append(numbers)
        sides.append(numbers)
    if embeddings:
        categories = keras.Input((len(embeddings),), dtype="int64", name="categories")
        inputs.append(categories)
        for column, (size, wide) in enumerate(embeddings):
            table = layers.Embedding(size, wide, name=f"embedding_{column}")
            sides.append(table(categories[:, column]))
    x = layers.Concatenate(name="side_by_side")(sides) if len(sides) > 1 else sides[0]
    for number, units in enumerate(hidden):
        x = layers.Dense(units, name=f"hidden_{number}")(x)
        x = layers.ReLU(name=f"relu_{number}")(x)
        x = layers.Dropout(dropout, name=f"dropout_{number}")(x)
    return keras.Model(inputs, layers.Dense(outputs, name="outputs")(x), name="tabular")

"""The tabular network in Keras: numbers and embedded categories, then dense layers. Read beside the PyTorch one."""

from __future__ import annotations

import keras
from keras import layers

from onnxpress.training.tensorflow.models.layers import dense, embedding


def build(width: int, embeddings: list[list[int]], hidden: list[int], dropout: float, outputs: int) -> keras.Model:
    """A fresh network, numbers (batch, width) float32 and categories (batch, columns) int64 → logits (batch, outputs).

    `embeddings` are [ids, width] of each column of categories. The input of which there are none is left out: `numbers`
    where `width` is 0, `categories` where `embeddings` is empty. See families.Tabular.
    """
    inputs, parts = [], []
    if width:
        numbers = keras.Input((width,), name="numbers")
        inputs.append(numbers)
        parts.append(numbers)
    if embeddings:
        categories = keras.Input((len(embeddings),), dtype="int64", name="categories")
        inputs.append(categories)
        for number, (size, columns) in enumerate(embeddings):
            parts.append(embedding(size, columns, name=f"embedding_{number}")(categories[:, number]))
    x = layers.Concatenate(name="features")(parts) if len(parts) > 1 else parts[0]
    for number, units in enumerate(hidden):
        x = dense(units, name=f"dense_{number}")(x)
        x = layers.ReLU(name=f"relu_{number}")(x)
        x = layers.Dropout(dropout, name=f"dropout_{number}")(x)
    logits = dense(outputs, name="logits")(x)
    return keras.Model(inputs if len(inputs) > 1 else inputs[0], logits, name="tabular")

"""A table of numbers and categories: embeddings of entities beside batch-normed numbers, in Keras.

A subclassed model with its own `call`.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers


class TabularModel(keras.Model):
    """Categories (batch, 3) as whole numbers and numbers (batch, 6) → logits (batch, 3)."""

    def __init__(self, cardinalities: tuple[int, ...] = (8, 5, 12), hidden: tuple[int, ...] = (64, 32)) -> None:
        super().__init__()
        self.embeddings = [
            layers.Embedding(n, min(50, (n + 1) // 2), name=f"emb_{i}") for i, n in enumerate(cardinalities)
        ]
        self.numeric_norm = layers.BatchNormalization(name="numeric_norm")
        self.concat = layers.Concatenate()
        self.hidden = [layers.Dense(units, activation="relu", name=f"fc_{i}") for i, units in enumerate(hidden)]
        self.norms = [layers.BatchNormalization(momentum=0.9, name=f"bn_{i}") for i in range(len(hidden))]
        self.dropout = layers.Dropout(0.2)
        self.head = layers.Dense(3, name="head")

    def call(self, inputs: Any, training: bool = False) -> Any:
        categories, numbers = inputs
        columns = [embedding(categories[:, i]) for i, embedding in enumerate(self.embeddings)]
        x = self.concat([*columns, self.numeric_norm(numbers, training=training)])
        for dense, norm in zip(self.hidden, self.norms, strict=True):
            x = self.dropout(norm(dense(x), training=training), training=training)
        return self.head(x)


def build() -> tuple[keras.Model, list[Any]]:
    """The model, and rows as it takes them."""
    generator = np.random.default_rng(0)
    categories = generator.integers(0, 5, (8, 3)).astype("int32")
    return TabularModel(), [categories, generator.standard_normal((8, 6)).astype("float32")]

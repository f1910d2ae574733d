"""Malicious domain names from their characters: a CNN, an LSTM in both directions and attention, in Keras.

A functional model with a layer of its own.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops


class AttentionLayer(layers.Layer):
    """Which steps count: additive, with one score for each."""

    def build(self, input_shape: Any) -> None:
        features = input_shape[-1]
        self.W = self.add_weight(name="att_weight", shape=(features, features), initializer="glorot_uniform")
        self.b = self.add_weight(name="att_bias", shape=(features,), initializer="zeros")
        self.u = self.add_weight(name="att_context", shape=(features, 1), initializer="glorot_uniform")
        super().build(input_shape)

    def call(self, x: Any) -> Any:
        scores = ops.tanh(ops.matmul(x, self.W) + self.b)
        weights = ops.softmax(ops.matmul(scores, self.u), axis=1)
        return ops.sum(x * weights, axis=1)


def build() -> keras.Model:
    """Character numbers (batch, 32) → a probability (batch, 1)."""
    inputs = keras.Input(shape=(32,), dtype="int32", name="characters")
    x = layers.Embedding(40, 24, name="embedding")(inputs)
    x = layers.SpatialDropout1D(0.1)(x)
    x = layers.Conv1D(32, 3, padding="same", activation="relu", name="conv")(x)
    x = layers.BatchNormalization(momentum=0.9, name="bn")(x)
    x = layers.MaxPooling1D(2)(x)
    x = layers.Bidirectional(layers.LSTM(24, return_sequences=True), name="bilstm")(x)
    x = AttentionLayer(name="attention")(x)
    x = layers.Dropout(0.3)(x)
    outputs = layers.Dense(1, activation="sigmoid", name="dga")(x)
    return keras.Model(inputs, outputs)

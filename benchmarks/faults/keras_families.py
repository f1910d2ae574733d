"""The five families' shapes as small Keras models, for graphs to plant faults in."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

L = keras.layers


def unsettle(model: Any) -> Any:
    """Give norms and biases values that training would: at their defaults many faults change nothing."""
    generator = np.random.default_rng(keras.random.randint((), 0, 2**30).numpy())
    for weight in getattr(model, "weights", []):
        name, shape = weight.path.rpartition("/")[2], tuple(weight.shape)
        if name in ("gamma", "moving_variance"):
            weight.assign(generator.uniform(0.5, 1.5, shape))
        elif name in ("beta", "bias", "moving_mean"):
            weight.assign(generator.normal(0, 0.3, shape))
    return model


def autoencoder() -> Any:
    """30 → 4 → 30 with batch norms."""
    x = h = keras.Input((30,), name="x")
    for width in (16, 4, 16):
        h = L.LeakyReLU(negative_slope=0.1)(L.BatchNormalization()(L.Dense(width)(h)))
    return keras.Model(x, L.Dense(30)(h)), {}


def sequence_classifier() -> Any:
    """Convolution, bidirectional LSTM, additive attention over time."""
    x = keras.Input((20, 6), name="x")
    h = L.Activation("elu")(L.BatchNormalization()(L.Conv1D(12, 3, padding="same")(x)))
    states = L.Bidirectional(L.LSTM(8, return_sequences=True))(L.MaxPooling1D(2)(h))
    weights = L.Softmax(axis=1)(L.Dense(1)(L.Activation("tanh")(states)))
    pooled = L.Flatten()(L.Dot(axes=1)([weights, states]))
    return keras.Model(x, L.Dense(3, activation="softmax")(pooled)), {}


def tabular() -> Any:
    """Two embedded columns beside numbers."""
    town, job = keras.Input((1,), name="town", dtype="int32"), keras.Input((1,), name="job", dtype="int32")
    numbers = keras.Input((7,), name="numbers")
    embedded = [L.Flatten()(L.Embedding(300, 6)(town)), L.Flatten()(L.Embedding(9, 3)(job))]
    h = L.Concatenate()([*embedded, L.BatchNormalization()(numbers)])
    h = L.LeakyReLU(negative_slope=0.05)(L.Dense(24)(h))
    out = L.Dense(4, activation="softmax")(L.Dense(12, activation="relu6")(h))
    generator = np.random.default_rng(1)
    examples = {
        "town": generator.integers(0, 300, (40, 1)).astype(np.int32),
        "job": generator.integers(0, 9, (40, 1)).astype(np.int32),
        "numbers": generator.standard_normal((40, 7)).astype(np.float32),
    }
    examples["town"][0], examples["town"][1] = 0, 299
    return keras.Model([town, job, numbers], out), {"example_inputs": examples}


def document() -> Any:
    """Token ids through attention and a pooled head."""
    ids = keras.Input((24,), name="ids", dtype="int32")
    h = L.LayerNormalization()(L.Embedding(200, 16)(ids))
    h = L.LayerNormalization()(L.Add()([h, L.MultiHeadAttention(2, 8)(h, h)]))
    h = L.LayerNormalization()(L.Add()([h, L.Dense(16)(L.Dense(32, activation="gelu")(h))]))
    out = L.Dense(5, activation="softmax")(L.Dense(16, activation="tanh")(L.GlobalAveragePooling1D()(h)))
    examples = np.random.default_rng(1).integers(0, 200, (40, 24)).astype(np.int32)
    examples[0, :2] = 0, 199
    return keras.Model(ids, out), {"example_inputs": {"ids": examples}}


def deep() -> Any:
    """Fourteen one-dimensional convolutions with residual links."""
    x = keras.Input((64, 3), name="x")
    h = L.Conv1D(12, 7, strides=2, padding="same", activation="gelu")(x)
    for number in range(13):
        new = L.Conv1D(12, 3, padding="same", dilation_rate=2 if number % 4 == 3 else 1)(h)
        h = L.Add()([h, L.Activation("relu")(L.BatchNormalization()(new))])
    return keras.Model(x, L.Dense(4)(L.GlobalAveragePooling1D()(h))), {}


FAMILIES = {
    "Keras autoencoder": autoencoder,
    "Keras CNN-LSTM with attention": sequence_classifier,
    "Keras tabular": tabular,
    "Keras document": document,
    "Keras 14-layer CNN": deep,
}

"""Keras models: trained on rare classes, masked, with several heads, scales and dtypes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

L = keras.layers
Built = tuple[Any, dict[str, Any]]
MODELS: dict[str, Callable[[], Built]] = {}


def sound(build: Callable[[], Built]) -> Callable[[], Built]:
    """Add a factory of a model and what its Source is told besides."""
    MODELS[build.__name__] = build
    return build


def _fitted(rare: float, activation: str, classes: int = 1) -> Built:
    rows = np.random.default_rng(0).standard_normal((1200, 10)).astype(np.float32)
    score = rows @ np.random.default_rng(1).standard_normal(10)
    cuts = np.quantile(score, np.linspace(0, 1 - rare, classes)[1:]) if classes > 1 else np.quantile(score, [1 - rare])
    labels = np.searchsorted(cuts, score)
    model = keras.Sequential(
        [keras.Input((10,)), L.Dense(24, "relu"), L.Dense(24, "relu"), L.Dense(classes, activation)]
    )
    loss = "binary_crossentropy" if classes == 1 else "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.Adam(0.02), loss)
    model.fit(rows, labels, epochs=12, batch_size=256, verbose=0)
    return model, {"example_inputs": rows[:16]}


for _rate in (0.1, 0.02, 0.005):
    MODELS[f"sigmoid_of_{_rate}_positives"] = lambda rate=_rate: _fitted(rate, "sigmoid")
    MODELS[f"softmax_with_a_class_of_{_rate}"] = lambda rate=_rate: _fitted(rate, "softmax", 4)


@sound
def normalised_table() -> Built:
    rows = np.random.default_rng(0).normal([1e4, 0.01, 5], [3e3, 0.002, 1], (200, 3)).astype(np.float32)
    layer = L.Normalization()
    layer.adapt(rows)
    x = keras.Input((3,))
    return keras.Model(x, L.Dense(2, "softmax")(L.Dense(8, "tanh")(layer(x)))), {"example_inputs": rows}


@sound
def two_heads() -> Built:
    x = keras.Input((6,), name="x")
    h = L.Dense(12, "gelu")(x)
    return keras.Model(x, {"risk": L.Dense(1, "sigmoid")(h), "amount": L.Dense(1)(h)}), {}


@sound
def masked_lstm() -> Built:
    ids = keras.Input((9,), name="ids", dtype="int32")
    h = L.LSTM(8)(L.Embedding(40, 6, mask_zero=True)(ids))
    examples = np.random.default_rng(0).integers(0, 40, (16, 9)).astype(np.int32)
    examples[0, 4:] = 0
    return keras.Model(ids, L.Dense(3, "softmax")(h)), {"example_inputs": {"ids": examples}}


@sound
def small_cnn() -> Built:
    x = keras.Input((16, 16, 3))
    h = L.BatchNormalization()(L.Conv2D(8, 3, padding="same", activation="relu")(x))
    return keras.Model(x, L.Dense(4, "softmax")(L.GlobalAveragePooling2D()(L.MaxPooling2D()(h)))), {}


@sound
def detection_head() -> Built:
    x = keras.Input((16, 16, 3))
    h = L.Conv2D(8, 3, strides=2, padding="same", activation="relu")(x)
    boxes = L.Reshape((64, 4))(L.Conv2D(4, 1)(h))
    return keras.Model(x, {"boxes": boxes, "scores": L.Reshape((64, 2))(L.Conv2D(2, 1, activation="sigmoid")(h))}), {}


@sound
def float64_dense() -> Built:
    x = keras.Input((7,), dtype="float64")
    h = L.Dense(9, "tanh", dtype="float64")(x)
    return keras.Model(x, L.Dense(2, dtype="float64")(h)), {}


@sound
def attention_pooling() -> Built:
    x = keras.Input((12, 6))
    h = L.LayerNormalization()(x + L.MultiHeadAttention(2, 4)(x, x))
    return keras.Model(x, L.Dense(3)(L.GlobalAveragePooling1D()(h))), {}

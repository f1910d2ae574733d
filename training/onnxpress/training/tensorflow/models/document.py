"""The document classifier in Keras. Read beside the PyTorch one."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import layers, ops

from onnxpress.training import encoders
from onnxpress.training.encoders import Shape
from onnxpress.training.tensorflow import weights

_HIDDEN_TOKEN = -1e9  # added to the score of a token that is padding


class Positions(layers.Layer):  # type: ignore[misc]  # keras's layers are untyped
    """The first rows of a table of vectors, as many as the sequence is long; (batch, sequence) → (sequence, width)."""

    def __init__(self, size: int, width: int, *, name: str) -> None:
        super().__init__(name=name)
        self._shape = (size, width)

    def build(self, _: Any) -> None:
        self.embeddings = self.add_weight(shape=self._shape, name="embeddings")

    def call(self, input_ids: Any) -> Any:
        return self.embeddings[: ops.shape(input_ids)[1]]

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return shape[1], self._shape[1]


class Type(layers.Layer):  # type: ignore[misc]  # keras's layers are untyped
    """The vector that BERT adds to every token of a first text."""

    def __init__(self, width: int, *, name: str) -> None:
        super().__init__(name=name)
        self._width = width

    def build(self, _: Any) -> None:
        self.embeddings = self.add_weight(shape=(1, self._width), name="embeddings")

    def call(self, x: Any) -> Any:
        return x + self.embeddings


def _encoder(shape: Shape) -> keras.Model:
    """BERT, the mean over the tokens that are no padding, and that vector at length 1."""
    input_ids = keras.Input((None,), dtype="int64", name="input_ids")
    attention_mask = keras.Input((None,), dtype="int64", name="attention_mask")

    def norm(name: str) -> layers.LayerNormalization:
        return layers.LayerNormalization(epsilon=shape.epsilon, name=name)

    x = layers.Embedding(shape.vocabulary, shape.width, name="word_embeddings")(input_ids)
    x = x + Positions(shape.positions, shape.width, name="position_embeddings")(input_ids)
    x = norm("embeddings_norm")(Type(shape.width, name="type_embedding")(x))
    mask = ops.cast(attention_mask, "float32")
    hidden = (1 - ops.expand_dims(mask, (1, 2))) * _HIDDEN_TOKEN
    size = shape.width // shape.heads
    for number in range(shape.blocks):
        name = f"block_{number}_"
        query, key, value = (
            ops.transpose(
                layers.Reshape((-1, shape.heads, size))(layers.Dense(shape.width, name=name + part)(x)), (0, 2, 1, 3)
            )
            for part in ("query", "key", "value")
        )
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2))) / math.sqrt(size) + hidden
        attended = ops.transpose(ops.matmul(ops.softmax(scores, axis=3), value), (0, 2, 1, 3))
        attended = layers.Dense(shape.width, name=name + "attended")(layers.Reshape((-1, shape.width))(attended))
        x = norm(name + "attention_norm")(x + attended)
        inner = ops.gelu(layers.Dense(shape.inner, name=name + "inner")(x), approximate=False)
        x = norm(name + "norm")(x + layers.Dense(shape.width, name=name + "outer")(inner))
    total = ops.sum(x * ops.expand_dims(mask, 2), axis=1)
    mean = total / ops.maximum(ops.sum(mask, axis=1, keepdims=True), 1e-9)
    length = ops.sqrt(ops.sum(ops.square(mean), axis=1, keepdims=True))
    return keras.Model([input_ids, attention_mask], mean / ops.maximum(length, 1e-12), name="encoder")


def build(width: int, hidden: int, classes: int, dropout: float, encoder: str | None) -> keras.Model:
    """A fresh head, `vectors` (batch, width) float32 → logits; or behind an encoder with its weights, from token ids.

    See families.Document. Raises MissingExtra without the encoder's package.
    """
    vectors = keras.Input((width,), name="vectors")
    x = layers.ReLU(name="relu")(layers.Dense(hidden, name="hidden")(vectors))
    x = layers.Dropout(dropout, name="dropout")(x)
    head = keras.Model(vectors, layers.Dense(classes, name="logits")(x), name="head")
    if encoder is None:
        return head
    embedding = _encoder(encoders.shape(encoder))
    weights.write(embedding, encoders.weights(encoder))
    embedding.trainable = False
    input_ids = keras.Input((None,), dtype="int64", name="input_ids")
    attention_mask = keras.Input((None,), dtype="int64", name="attention_mask")
    return keras.Model([input_ids, attention_mask], head(embedding([input_ids, attention_mask])), name="document")

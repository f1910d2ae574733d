"""A BERT encoder of sentences in Keras: token ids to one vector. Read beside the PyTorch one.

Devlin et al. 2019, with the mean over tokens of Reimers and Gurevych 2019, or another pooling.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import layers as keras_layers
from keras import ops

from onnxpress.training.tensorflow.models import layers as common

MASKED = -1e9
"""added to the scores of padding: nothing is left of them after the softmax, and no infinity arises"""


def build(
    vocabulary: int,
    positions: int,
    width: int,
    layers: int,
    heads: int,
    inner: int,
    epsilon: float,
    pooling: str = "mean",
    normalise: bool = True,
) -> keras.Model:
    """A fresh encoder, input_ids, attention_mask (batch, sequence) int64 → (batch, width) float32.

    `positions` is the longest sequence, `inner` the units between the two dense layers. `pooling` is mean, cls or max;
    with `normalise` vectors have length 1.
    """
    input_ids = keras.Input((None,), dtype="int64", name="input_ids")
    attention_mask = keras.Input((None,), dtype="int64", name="attention_mask")
    mask = ops.cast(attention_mask, "float32")
    bias = ((1 - mask) * MASKED)[:, None, None, :]
    places = ops.cumsum(ops.ones_like(input_ids), axis=1) - 1
    x = common.embedding(vocabulary, width, name="words")(input_ids)
    x = x + common.embedding(positions, width, name="positions")(places)
    x = _norm(epsilon, "embedded_norm")(x)
    for number in range(layers):
        x = _layer(f"layer_{number}", x, bias, width=width, heads=heads, inner=inner, epsilon=epsilon)
    vector = _pooled(x, mask, pooling)
    vector = _at_length_1(vector) if normalise else vector
    return keras.Model([input_ids, attention_mask], vector, name="encoder")


def _layer(name: str, x: Any, bias: Any, *, width: int, heads: int, inner: int, epsilon: float) -> Any:
    """(batch, sequence, width) → the same; `bias` (batch, 1, 1, sequence) is added to the scores."""

    def by_head(part: str) -> Any:
        """(batch, sequence, width) → (batch, heads, sequence, width / heads)."""
        values = common.dense(width, name=f"{name}_{part}")(x)
        values = keras_layers.Reshape((-1, heads, width // heads), name=f"{name}_{part}_heads")(values)
        return ops.transpose(values, (0, 2, 1, 3))

    query, key, value = (by_head(part) for part in ("query", "key", "value"))
    scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2))) / math.sqrt(width // heads) + bias
    attended = ops.transpose(ops.matmul(ops.softmax(scores, axis=-1), value), (0, 2, 1, 3))
    attended = keras_layers.Reshape((-1, width), name=f"{name}_attended_heads")(attended)
    attended = common.dense(width, name=f"{name}_attended")(attended)
    x = _norm(epsilon, f"{name}_attended_norm")(x + attended)
    inside = ops.gelu(common.dense(inner, name=f"{name}_inner")(x), approximate=False)
    return _norm(epsilon, f"{name}_outer_norm")(x + common.dense(width, name=f"{name}_outer")(inside))


def _norm(epsilon: float, name: str) -> keras_layers.LayerNormalization:
    return keras_layers.LayerNormalization(epsilon=epsilon, name=name)


def _pooled(x: Any, mask: Any, pooling: str) -> Any:
    """(batch, sequence, width) → (batch, width): the first token's, or mean or largest over those not padding."""
    if pooling == "cls":
        return x[:, 0]
    if pooling == "max":
        return ops.max(x + ((1 - mask) * MASKED)[:, :, None], axis=1)
    return ops.sum(x * mask[:, :, None], axis=1) / ops.maximum(ops.sum(mask, axis=1, keepdims=True), 1e-9)


def _at_length_1(x: Any) -> Any:
    return x / ops.maximum(ops.sqrt(ops.sum(ops.square(x), axis=1, keepdims=True)), 1e-12)

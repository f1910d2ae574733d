"""The CNN with an LSTM and multi-head attention in Keras. Read beside the PyTorch one."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import layers as keras_layers
from keras import ops

from onnxpress.training.tensorflow.models import layers


def _multihead(x: Any, heads: int) -> Any:
    """(batch, time, width) → the same: every step looks at every other, in so many ways at once.

    softmax(Q Kᵀ / √(width / heads)) V of each head, side by side, then projected: Vaswani et al. 2017.
    """
    time, width = x.shape[1:]

    def of_heads(name: str) -> Any:
        part = layers.dense(width, name=name)(x)
        return keras_layers.Permute((2, 1, 3))(keras_layers.Reshape((time, heads, width // heads))(part))

    query, key, value = of_heads("query"), of_heads("key"), of_heads("value")
    scores = ops.matmul(query, keras_layers.Permute((1, 3, 2))(key)) * (1 / math.sqrt(width // heads))
    joined = ops.matmul(ops.softmax(scores, axis=-1), value)
    flat = keras_layers.Reshape((time, width))(keras_layers.Permute((2, 1, 3))(joined))
    return layers.dense(width, name="projection")(flat)


def build(
    length: int,
    channels: int,
    convolutions: list[int],
    kernel: int,
    pool: int,
    lstm: int,
    heads: int,
    dense: list[int],
    dropout: float,
    classes: int,
    epsilon: float,
    momentum: float,
) -> keras.Model:
    """A fresh network, windows (batch, length, channels) float32 → logits (batch, classes) float32.

    Batch norm, ReLU and max pooling by `pool` after each convolution; `dropout` after each of the `dense` layers. See
    families.CnnLstmMultihead.
    """
    windows = x = keras.Input((length, channels), name="windows")
    for number, units in enumerate(convolutions):
        x = layers.convolution(units, kernel, padding="same", name=f"convolution_{number}")(x)
        x = layers.batch_norm(name=f"convolution_norm_{number}", epsilon=epsilon, momentum=momentum)(x)
        x = keras_layers.ReLU(name=f"convolution_relu_{number}")(x)
        x = keras_layers.MaxPooling1D(pool, name=f"pool_{number}")(x)
    x = layers.bidirectional_lstm(lstm, name="lstm")(x)
    x = keras_layers.Add(name="added")([x, _multihead(x, heads)])
    x = keras_layers.LayerNormalization(epsilon=epsilon, name="attention_norm")(x)
    x = keras_layers.GlobalAveragePooling1D(name="mean")(x)
    for number, units in enumerate(dense):
        x = layers.dense(units, name=f"dense_{number}")(x)
        x = keras_layers.ReLU(name=f"dense_relu_{number}")(x)
        x = keras_layers.Dropout(dropout, name=f"dense_dropout_{number}")(x)
    logits = layers.dense(classes, name="logits")(x)
    return keras.Model(windows, logits, name="cnn_lstm_multihead")

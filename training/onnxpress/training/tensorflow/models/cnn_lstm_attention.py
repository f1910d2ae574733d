"""The CNN-LSTM with attention in Keras, for feature vectors or characters. Read beside the PyTorch one."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers as keras_layers
from keras import ops

from onnxpress.training.tensorflow.models import layers


def _attention(x: Any, units: int) -> Any:
    """(batch, time, features) → (batch, features): the mean over time, weighed by a learned score of each step.

    Additive attention without a query: Bahdanau et al. 2015.
    """
    scores = ops.tanh(layers.dense(units, name="attention")(x))
    scores = layers.dense(1, bias=False, name="attention_score")(scores)
    return ops.sum(ops.softmax(scores, axis=1) * x, axis=1)


def build(
    width: int | None,
    vocabulary: int | None,
    length: int | None,
    embedding: int,
    convolutions: list[int],
    kernel: int,
    pool: int,
    lstm: int,
    attention: int,
    dense: list[int],
    dropout: float,
    dense_dropouts: list[float],
    classes: int,
    epsilon: float,
    momentum: float,
    features: int = 0,
) -> keras.Model:
    """A fresh network, scaled (batch, width) float32 or characters (batch, length) int64 → logits (batch, classes).

    Characters where `width` is None: ids below `vocabulary`; with `features`, a second input of as many figures
    (batch, features) float32. `attention` 0 is the mean over time. See families.CnnLstmAttention.
    """
    sizes = {"epsilon": epsilon, "momentum": momentum}
    if width:
        given = keras.Input((width,), name="scaled")
        x = layers.dense(embedding, name="embedding")(given)
    else:
        assert vocabulary is not None
        given = keras.Input((length,), dtype="int64", name="characters")
        x = layers.embedding(vocabulary, embedding, name="embedding")(given)
    x = layers.batch_norm(name="embedding_norm", **sizes)(x)
    x = keras_layers.Dropout(dropout, name="embedding_dropout")(x)
    if width:
        x = keras_layers.Reshape((embedding, 1), name="sequence")(x)
    for number, filters in enumerate(convolutions):
        x = layers.convolution(filters, kernel, padding="same", name=f"convolution_{number}")(x)
        x = keras_layers.ReLU(name=f"convolution_relu_{number}")(x)
        x = layers.batch_norm(name=f"convolution_norm_{number}", **sizes)(x)
        x = keras_layers.Dropout(dropout, name=f"convolution_dropout_{number}")(x)
    x = keras_layers.MaxPooling1D(pool, name="pool")(x)
    x = layers.bidirectional_lstm(lstm, name="lstm")(x)
    x = _attention(x, attention) if attention else keras_layers.GlobalAveragePooling1D(name="mean")(x)
    figures = keras.Input((features,), name="figures") if features else None
    if figures is not None:
        x = keras_layers.Concatenate(name="with_figures")([x, figures])
    for number, (units, rate) in enumerate(zip(dense, dense_dropouts, strict=True)):
        x = layers.dense(units, name=f"dense_{number}")(x)
        x = keras_layers.ReLU(name=f"dense_relu_{number}")(x)
        x = keras_layers.Dropout(rate, name=f"dense_dropout_{number}")(x)
    logits = layers.dense(classes, name="logits")(x)
    return keras.Model(given if figures is None else [given, figures], logits, name="cnn_lstm_attention")

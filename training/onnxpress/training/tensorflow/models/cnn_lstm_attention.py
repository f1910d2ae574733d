"""The CNN-LSTM with attention in Keras. Read beside the PyTorch one."""

from __future__ import annotations

import keras
from keras import layers


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
) -> keras.Model:
    """A fresh network: `scaled` (batch, width) float32 or `characters` (batch, length) int64 → logits (batch, classes).

    See families.CnnLstmAttention.
    """

    def norm(name: str) -> layers.BatchNormalization:
        return layers.BatchNormalization(epsilon=epsilon, momentum=momentum, name=name)

    if width:
        inputs = keras.Input((width,), name="scaled")
        x = norm("embedding_norm")(layers.Dense(embedding, name="embedding")(inputs))
        x = layers.Dropout(dropout, name="embedding_dropout")(x)
        x = layers.Reshape((embedding, 1), name="single_channels")(x)
    else:
        inputs = keras.Input((length,), dtype="int64", name="characters")
        x = norm("embedding_norm")(layers.Embedding(vocabulary, embedding, name="embedding")(inputs))
        x = layers.Dropout(dropout, name="embedding_dropout")(x)
    for number, filters in enumerate(convolutions):
        x = layers.Conv1D(filters, kernel, padding="same", activation="relu", name=f"conv_{number}")(x)
        x = norm(f"conv_norm_{number}")(x)
        x = layers.Dropout(dropout, name=f"conv_dropout_{number}")(x)
    x = layers.MaxPooling1D(pool, name="pool")(x)
    x = layers.Bidirectional(layers.LSTM(lstm, return_sequences=True), name="lstm")(x)
    x = _attended(x, attention) if attention else layers.GlobalAveragePooling1D(name="mean_over_time")(x)
    for number, (units, rate) in enumerate(zip(dense, dense_dropouts, strict=True)):
        x = layers.Dense(units, activation="relu", name=f"dense_{number}")(x)
        x = layers.Dropout(rate, name=f"dense_dropout_{number}")(x)
    return keras.Model(inputs, layers.Dense(classes, name="logits")(x), name="cnn_lstm_attention")


def _attended(sequence: keras.KerasTensor, units: int) -> keras.KerasTensor:
    """Additive attention over time (Bahdanau et al. 2015): (batch, time, inputs) → (batch, inputs)."""
    hidden = layers.Dense(units, activation="tanh", name="attention_hidden")(sequence)
    scores = layers.Dense(1, use_bias=False, name="attention_score")(hidden)
    shares = layers.Softmax(axis=1, name="attention_shares")(scores)
    joined = layers.Dot(axes=1, name="attended")([shares, sequence])
    return layers.Flatten(name="over_time")(joined)

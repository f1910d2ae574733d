"""The document classifier in Keras: vectors, or an encoder's, then dense layers. Read beside the PyTorch one."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers as keras_layers

from onnxpress.training import pretrained
from onnxpress.training.tensorflow import weights
from onnxpress.training.tensorflow.models import encoder as encoders
from onnxpress.training.tensorflow.models import layers


def of_tokens(encoder: keras.Model, head: keras.Model, *, learning: tuple[str, ...] = ()) -> keras.Model:
    """input_ids, attention_mask (batch, sequence) int64 → logits (batch, classes) float32.

    The encoder is frozen, but for the layers whose names begin with one of `learning`.
    """
    for layer in encoder.layers:
        layer.trainable = layer.name.startswith(learning)
    tokens = [keras.Input((None,), dtype="int64", name=name) for name in ("input_ids", "attention_mask")]
    return keras.Model(tokens, head(encoder(tokens)), name="document")


def build(
    width: int,
    hidden: int,
    classes: int,
    dropout: float,
    encoder: str | None,
    sizes: dict[str, Any] | None = None,
    fine_tune: int = 0,
) -> keras.Model:
    """A fresh network, vectors (batch, width) float32 → logits (batch, classes) float32.

    With `encoder`, a folder or the name of an installed one, input_ids and attention_mask (batch, sequence) int64 take
    the place of vectors. Its weights are frozen but for the last `fine_tune` layers, `width` is that of its vectors,
    and the two parts are the layers `encoder` and `head`. `sizes` are those of `encoder.build`; with them, an encoder
    whose folder is not here is left with fresh weights. See families.Document. Raises UsageError for another width, and
    what `pretrained.read` raises.
    """
    vectors = x = keras.Input((width,), name="vectors")
    x = layers.dense(hidden, name="hidden")(x)
    x = keras_layers.ReLU(name="relu")(x)
    x = keras_layers.Dropout(dropout, name="dropout")(x)
    head = keras.Model(vectors, layers.dense(classes, name="logits")(x), name="document" if encoder is None else "head")
    if encoder is None:
        return head
    settings, trained = pretrained.built(encoder, sizes, width=width)
    encoding = encoders.build(**settings)
    if trained is not None:
        weights.write(encoding, trained)
    return of_tokens(encoding, head, learning=pretrained.last_layers(settings["layers"], fine_tune))

"""A Keras model in float64 for as long as it is asked and trained: of its config, or the model itself for a while."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np


@contextlib.contextmanager
def kept(model: Any) -> Iterator[Any]:
    """The model; its weights have their values back afterwards."""
    values = [(weight, np.array(weight)) for weight in model.weights]
    try:
        yield model
    finally:
        for weight, value in values:
            weight.assign(value)


@contextlib.contextmanager
def widened(model: Any) -> Iterator[Any]:
    """The model itself, its layers and weights in float64; afterwards all is as it was.

    For models of the author's own, which Keras cannot build a second time.
    """
    import keras
    import tensorflow as tf

    held: list[tuple[Any, str, Any]] = []

    def put(owner: Any, name: str, value: Any) -> None:
        held.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    try:
        for layer in [model, *model._flatten_layers()]:
            put(layer, "_dtype_policy", keras.DTypePolicy("float64"))
            for tensor in getattr(layer, "inputs", None) or []:
                if str(tensor.dtype).startswith("float"):
                    put(tensor, "_dtype", "float64")
        for weight in model.weights:
            if str(weight.dtype).startswith("float"):
                wide = tf.Variable(np.asarray(weight).astype(np.float64), trainable=weight.trainable)
                put(weight, "_dtype", "float64")
                put(weight, "_value", wide)
        yield model
    finally:
        keras.config.set_floatx(before)
        for owner, name, value in reversed(held):
            setattr(owner, name, value)

"""A Keras model in float64 for as long as it is asked and trained: of its config, or the model itself for a while."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np


@contextlib.contextmanager
def uncompiled(model: Any) -> Iterator[Any]:
    """The model, every `call` that is a tf.function called as the author wrote it.

    What TensorFlow made of it once holds the variables and the dropout of then.
    """
    found = [layer for layer in model._flatten_layers() if hasattr(layer.call, "python_function")]
    try:
        for layer in found:
            object.__setattr__(layer, "call", layer.call.python_function)
        yield model
    finally:
        for layer in found:
            object.__delattr__(layer, "call")


_MAKERS = ("constant", "convert_to_tensor", "eye", "fill", "linspace", "one_hot", "ones", "range", "zeros")
"""of tf, what gives a tensor in float32 where the author's code names no dtype, or this one"""


@contextlib.contextmanager
def _made_wide() -> Iterator[None]:
    """While open, what code makes in float32 by functions of tf, or casts to it, is in float64."""
    import tensorflow as tf

    stock = tf.cast

    def cast(x: Any, dtype: Any, name: Any = None) -> Any:
        return stock(x, tf.float64 if tf.as_dtype(dtype) == tf.float32 else dtype, name=name)

    def widely(make: Callable[..., Any]) -> Callable[..., Any]:
        def made(*args: Any, **kwargs: Any) -> Any:
            found = make(*args, **kwargs)
            return stock(found, tf.float64) if found.dtype == tf.float32 else found

        return made

    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(tf, "cast", cast))
        for name in _MAKERS:
            stack.enter_context(mock.patch.object(tf, name, widely(getattr(tf, name))))
        yield


@contextlib.contextmanager
def kept(model: Any) -> Iterator[Any]:
    """The model; its weights have their values back afterwards."""
    values = [(weight, np.array(weight)) for weight in model.weights]
    try:
        with uncompiled(model):
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
            for name, value in list(vars(layer).items()):
                if tf.is_tensor(value) and not isinstance(value, keras.Variable) and value.dtype == tf.float32:
                    put(layer, name, tf.cast(value, tf.float64))
            for tensor in getattr(layer, "inputs", None) or []:
                if str(tensor.dtype).startswith("float"):
                    put(tensor, "_dtype", "float64")
        for weight in model.weights:
            if str(weight.dtype).startswith("float"):
                wide = tf.Variable(np.asarray(weight).astype(np.float64), trainable=weight.trainable)
                put(weight, "_dtype", "float64")
                put(weight, "_value", wide)
        with uncompiled(model), _made_wide():
            yield model
    finally:
        keras.config.set_floatx(before)
        for owner, name, value in reversed(held):
            setattr(owner, name, value)

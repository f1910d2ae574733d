"""What a Keras model computes on the way: every call of a layer, and of an operation between layers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from onnxpress.export.network import See, Seen


@contextlib.contextmanager
def watching(model: Any, see: See) -> Iterator[None]:
    """While active, what layers and operations compute is shown; see Layered.watch. Eager calls only."""
    call = keras.Operation.__call__
    stack: list[tuple[str, str]] = [(model.name, type(model).__name__)]
    recurrent: list[Any] = []

    def watched(operation: Any, *args: Any, **kwargs: Any) -> Any:
        is_layer = isinstance(operation, keras.layers.Layer)
        if recurrent and operation is recurrent[-1].cell:
            return call(operation, *args, **kwargs)  # a step of it; what all steps give is shown
        if is_layer:
            stack.append((operation.name, type(operation).__name__))
        if isinstance(operation, keras.layers.RNN):
            recurrent.append(operation)
        try:
            answer = call(operation, *args, **kwargs)
            layer, kind = stack[-1]
        finally:
            if is_layer:
                stack.pop()
            if isinstance(operation, keras.layers.RNN):
                recurrent.pop()
        given = [value for value in tf.nest.flatten((args, kwargs)) if tf.is_tensor(value)]
        for value in tf.nest.flatten(answer):
            if isinstance(value, tf.Tensor) and value.dtype.is_floating and hasattr(value, "numpy"):
                operator = "" if is_layer else type(operation).__name__
                see(Seen(layer, kind, operator, "", value, np.asarray(value), given))
        return answer

    keras.Operation.__call__ = watched
    try:
        yield
    finally:
        keras.Operation.__call__ = call


def names(model: Any) -> frozenset[str]:
    """The names of the model's layers, at any depth, and its own."""
    return frozenset({model.name, *(layer.name for layer in model._flatten_layers())})

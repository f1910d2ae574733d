"""What stands in for functions of Keras's own while a model is traced: the same answers, by operators that convert."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf


@contextlib.contextmanager
def stand_ins() -> Iterator[None]:
    """While open, the sign of a float is told by arithmetic, and a layer over time is called once for all steps."""
    from keras.src.backend.tensorflow import numpy as operations

    signbit, call = operations.signbit, keras.layers.TimeDistributed.call
    operations.signbit = _signbit
    keras.layers.TimeDistributed.call = _over_time(call)
    try:
        yield
    finally:
        operations.signbit = signbit
        keras.layers.TimeDistributed.call = call


def _signbit(x: Any) -> Any:
    """Keras takes it from the float's bits, for argmax too, and tf2onnx has no Bitcast. One divided by -0.0 is -inf."""
    x = tf.convert_to_tensor(x)
    if not x.dtype.is_floating:
        return x < 0
    zero = tf.zeros((), x.dtype)
    return tf.logical_or(x < zero, tf.logical_and(tf.equal(x, zero), 1 / x < zero))


def _over_time(call: Any) -> Any:
    """TimeDistributed in inference: steps are further rows to the layer. tf2onnx cannot write its loop over them."""

    def over_time(self: Any, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        if training or mask is not None or inputs.shape[1] is not None:
            return call(self, inputs, training=training, mask=mask)
        rows, steps = tf.shape(inputs)[0], tf.shape(inputs)[1]
        flat = tf.reshape(inputs, tf.concat([[-1], tf.shape(inputs)[2:]], 0))
        flat = tf.ensure_shape(flat, [None, *inputs.shape[2:]])
        answer = self.layer.call(flat, training=False) if self.layer._call_has_training_arg else self.layer.call(flat)

        def apart(value: Any) -> Any:
            return tf.reshape(value, tf.concat([[rows, steps], tf.shape(value)[1:]], 0))

        return tf.nest.map_structure(apart, answer)

    return over_time

"""Awkward Keras models and TensorFlow functions, each with what should happen to it."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tests.corpus.expected import Corpus

L = keras.layers
corpus = Corpus()
exported, refused = corpus.exported, corpus.refused
rng = np.random.default_rng(0)


def model(inputs: Any, outputs: Any, **examples: Any) -> Any:
    return keras.Model(inputs, outputs), ({"example_inputs": examples} if examples else {})


def features(*shape: int | None, dtype: str = "float32") -> Any:
    return keras.Input(shape or (6,), name="x", dtype=dtype)


# --- faults of tf2onnx 1.17 that are mended


@exported()
def gelu_becomes_erfc():
    x = features()
    return model(x, L.Dense(4, activation="gelu")(x))


@exported()
def celu_becomes_expm1():
    x = features()
    return model(x, L.Dense(4, activation="celu")(x))


@exported()
def normalization_whose_constants_leak():
    layer = L.Normalization()
    layer.adapt(rng.normal(3, 2, (50, 6)).astype(np.float32))
    x = features()
    return model(x, L.Dense(3)(layer(x)))


@exported()
def grouped_convolution():
    x = features(8, 8, 4)
    return model(x, L.Conv2D(8, 3, groups=2)(x))


class FloorDivides(L.Layer):
    def call(self, x):
        return x // keras.ops.cast(3, "int64")


@exported()
def negative_integer_floor_division():
    x = features(3, dtype="int64")
    return model(x, FloorDivides()(x), x=rng.integers(-9, 9, (8, 3)))


@exported()
def remainder_of_positive_integers():
    """The example shows no negative one; others are asked about, and tf2onnx's own conversion would be refused."""
    x = features(3, dtype="int64")
    return model(x, L.Dense(2)(keras.ops.cast(x % 7, "float32")), x=rng.integers(0, 90, (8, 3)))


@exported()
def string_lookup():
    x = keras.Input((2,), name="x", dtype="string")
    words = L.StringLookup(vocabulary=["cat", "dog", "emu"])(x)
    return model(x, L.Flatten()(L.Embedding(4, 3)(words)), x=np.array([["cat", "emu"], ["dog", "yak"]], object))


@exported()
def category_encoding():
    x = features(2, dtype="int32")
    return model(
        x, L.Dense(2)(L.CategoryEncoding(5, output_mode="multi_hot")(x)), x=rng.integers(0, 5, (8, 2), "int32")
    )


@exported()
def integer_lookup():
    x = features(1, dtype="int64")
    places = L.IntegerLookup(vocabulary=[3, 5, 8])(x)
    return model(x, L.Embedding(4, 2)(places), x=np.array([[3], [5], [8], [9]], np.int64))


# --- layers


@exported()
def sequential():
    return keras.Sequential([keras.Input((6,)), L.Dense(4, activation="relu"), L.Dense(2)]), {}


@exported()
def batch_norm_and_dropout():
    x = features()
    return model(x, L.Dense(2)(L.Dropout(0.5)(L.BatchNormalization()(L.Dense(4)(x)))))


@exported()
def separable_and_transposed_convolutions():
    x = features(8, 8, 4)
    h = L.SeparableConv2D(6, 3, padding="same")(x)
    return model(x, L.Conv2DTranspose(2, 2, strides=2)(L.DepthwiseConv2D(3)(h)))


@exported()
def zero_padding_before_max_pooling():
    x = features(9, 9, 2)
    h = L.Rescaling(1.0, offset=-50.0)(x)
    return model(x, L.Conv2D(2, 1)(L.MaxPooling2D(3, 2)(L.ZeroPadding2D(1)(h))))


@exported()
def upsampling_and_rescaling():
    x = features(4, 4, 3)
    return model(x, L.UpSampling2D(2)(L.Rescaling(1 / 255)(x)))


@exported()
def mixed_float16():
    x = features()
    h = L.Dense(8, dtype=keras.DTypePolicy("mixed_float16"), activation="relu")(x)
    return model(x, L.Dense(3, dtype="float32")(h))


@exported()
def several_inputs_and_outputs():
    left, right = keras.Input((3,), name="left"), keras.Input((3,), name="right")
    return keras.Model([right, left], [L.Subtract()([left, right]), L.Add()([left, right])]), {}


# --- sequences


@exported()
def lstm_stacked_and_bidirectional():
    x = features(None, 3)
    return model(x, L.LSTM(4)(L.Bidirectional(L.LSTM(4, return_sequences=True))(x)))


@exported()
def gru_over_any_length():
    x = features(None, 3)
    return model(x, L.GRU(4, return_sequences=True)(x))


@exported()
def lstm_behind_a_mask():
    x = features(7, dtype="int32")
    return model(x, L.LSTM(4)(L.Embedding(10, 4, mask_zero=True)(x)), x=padded())


@exported()
def masked_average_pooling():
    x = features(7, dtype="int32")
    return model(x, L.GlobalAveragePooling1D()(L.Embedding(10, 4, mask_zero=True)(x)), x=padded())


@exported()
def attention():
    x = features(5, 8)
    return model(x, L.LayerNormalization()(L.MultiHeadAttention(2, 4)(x, x)))


@exported()
def attention_behind_a_mask():
    x = features(7, dtype="int32")
    h = L.Embedding(10, 8, mask_zero=True)(x)
    return model(x, L.MultiHeadAttention(2, 4)(h, h), x=padded())


def padded() -> Any:
    ids = rng.integers(1, 10, (8, 7)).astype(np.int32)
    ids[np.arange(7) >= rng.integers(1, 8, (8, 1))] = 0
    return ids


# --- other forms


@exported()
def subclassed_with_a_dict_output():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = L.Dense(3)

        def call(self, x):
            return {"logits": self.dense(x), "copy": x}

    return Own(), {"example_inputs": {"x": rng.normal(size=(4, 6)).astype(np.float32)}}


@exported()
def tf_function():
    weights = tf.constant(rng.normal(size=(4, 2)), tf.float32)

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x")])
    def project(x):
        return {"y": tf.nn.relu(x @ weights)}

    return project, {}


# --- refused


@refused("is stateful")
def stateful_lstm():
    x = keras.Input(batch_shape=(2, 5, 3), name="x")
    return model(x, L.LSTM(4, stateful=True)(x))


class Noise(L.Layer):
    def build(self, _shape):
        self.seed = keras.random.SeedGenerator(1)

    def call(self, x):
        return x + keras.random.normal(keras.ops.shape(x), seed=self.seed)


@refused("random.*hiss")
def noise_at_inference():
    x = features()
    return model(x, Noise(name="hiss")(x))


class Counts(L.Layer):
    def build(self, _shape):
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, x):
        self.calls.assign_add(1.0)
        return x + self.calls


@refused("random|state")
def counter_in_call():
    x = features()
    return model(x, Counts()(x))


class BranchesOnBatch(L.Layer):
    def call(self, x):
        return x * 2 if x.shape[0] is not None and x.shape[0] > 2 else x - 1

    def compute_output_shape(self, shape):
        return shape


@refused("NOT equivalent")
def branch_on_the_static_batch():
    x = features()
    return model(x, BranchesOnBatch()(x))

"""Keras networks as public projects write them: signals, images, text, tables, sequences; each with its example."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from benchmarks.faults.keras_families import unsettle

Built = tuple[keras.Model, dict[str, Any]]
MODELS: dict[str, Callable[[], Built]] = {}
rng = np.random.default_rng(0)


def usual(build: Callable[[], Any]) -> Callable[[], Any]:
    """Add a function that makes a model; of a subclass, or of whole numbers, it gives an example beside it."""

    def settled() -> Built:
        made = build()
        model, example = made if isinstance(made, tuple) else (made, None)
        if example is not None and not model.built:
            model(example)
        return unsettle(model), {} if example is None else {"example_inputs": example}

    MODELS[build.__name__] = settled
    return build


def floats(*shape: int) -> Any:
    return rng.standard_normal((6, *shape)).astype(np.float32)


def ids(count: int, *shape: int) -> Any:
    return rng.integers(0, count, (6, *shape)).astype(np.int32)


@usual
def mnist_cnn():
    model = keras.Sequential()
    model.add(keras.Input(shape=(28, 28, 1)))
    model.add(layers.Conv2D(8, kernel_size=(3, 3), activation="relu"))
    model.add(layers.MaxPooling2D(pool_size=(2, 2)))
    model.add(layers.Conv2D(12, kernel_size=(3, 3), activation="relu"))
    model.add(layers.MaxPooling2D(pool_size=(2, 2)))
    model.add(layers.Flatten())
    model.add(layers.Dropout(0.5))
    model.add(layers.Dense(10, activation="softmax"))
    return model


@usual
def seizure_cnn():
    inputs = keras.Input((256, 18))
    x = inputs
    for filters in (12, 16, 24):
        x = layers.Conv1D(filters, 7, padding="same", kernel_initializer="he_normal")(x)
        x = layers.BatchNormalization()(x)
        x = layers.LeakyReLU()(x)
        x = layers.MaxPooling1D(4)(x)
        x = layers.SpatialDropout1D(0.1)(x)
    x = layers.GlobalAveragePooling1D()(x)
    x = layers.Dense(16, activation="relu", kernel_regularizer=keras.regularizers.l2(1e-4))(x)
    return keras.Model(inputs, layers.Dense(1, activation="sigmoid")(layers.Dropout(0.3)(x)))


@usual
def eegnet():
    channels, samples, f1, d, f2 = 8, 128, 4, 2, 8
    inputs = keras.Input((channels, samples, 1))
    x = layers.Conv2D(f1, (1, 32), padding="same", use_bias=False)(inputs)
    x = layers.BatchNormalization()(x)
    x = layers.DepthwiseConv2D(
        (channels, 1), use_bias=False, depth_multiplier=d, depthwise_constraint=keras.constraints.MaxNorm(1.0)
    )(x)
    x = layers.BatchNormalization()(x)
    x = layers.Activation("elu")(x)
    x = layers.Dropout(0.25)(layers.AveragePooling2D((1, 4))(x))
    x = layers.SeparableConv2D(f2, (1, 16), use_bias=False, padding="same")(x)
    x = layers.BatchNormalization()(x)
    x = layers.Activation("elu")(x)
    x = layers.Dropout(0.25)(layers.AveragePooling2D((1, 8))(x))
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(2, name="dense", kernel_constraint=keras.constraints.MaxNorm(0.25))(x)
    return keras.Model(inputs, layers.Activation("softmax", name="softmax")(x))


def _identity_block(x, filters, stride=1):
    shortcut = x
    x = layers.Conv2D(filters, 3, strides=stride, padding="same", use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    if stride != 1:
        shortcut = layers.Conv2D(filters, 1, strides=stride, use_bias=False)(shortcut)
        shortcut = layers.BatchNormalization()(shortcut)
    return layers.ReLU()(layers.Add()([x, shortcut]))


@usual
def cifar_resnet():
    inputs = keras.Input((32, 32, 3))
    x = layers.Conv2D(8, 3, padding="same", use_bias=False)(inputs)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    for filters, stride in ((8, 1), (12, 2), (16, 2)):
        x = _identity_block(x, filters, stride)
    return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))


@usual
def unet():
    inputs = keras.Input((32, 32, 3))
    skips, x = [], inputs
    for filters in (6, 8):
        x = layers.Conv2D(filters, 3, activation="relu", padding="same")(x)
        x = layers.Conv2D(filters, 3, activation="relu", padding="same")(x)
        skips.append(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Conv2D(12, 3, activation="relu", padding="same")(x)
    for filters, skip in ((8, skips[1]), (6, skips[0])):
        x = layers.Conv2DTranspose(filters, 2, strides=2, padding="same")(x)
        x = layers.concatenate([x, skip])
        x = layers.Conv2D(filters, 3, activation="relu", padding="same")(x)
    return keras.Model(inputs, layers.Conv2D(1, 1, activation="sigmoid")(x))


@usual
def imdb_lstm():
    model = keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            layers.Embedding(50, 8),
            layers.Bidirectional(layers.LSTM(6, return_sequences=True)),
            layers.Bidirectional(layers.LSTM(6)),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    return model, ids(50, 12)


@usual
def masked_gru():
    inputs = keras.Input((10,), dtype="int32")
    x = layers.Embedding(30, 8, mask_zero=True)(inputs)
    x = layers.GRU(6, return_sequences=True, dropout=0.0)(x)
    return keras.Model(inputs, layers.Dense(4, activation="softmax")(layers.GRU(6)(x))), ids(30, 10)


@usual
def text_cnn():
    inputs = keras.Input((20,), dtype="int64")
    x = layers.Embedding(60, 8)(inputs)
    pooled = [layers.GlobalMaxPooling1D()(layers.Conv1D(6, width, activation="relu")(x)) for width in (3, 4, 5)]
    x = layers.Dropout(0.5)(layers.Concatenate()(pooled))
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(x)), ids(60, 20).astype(np.int64)


@usual
def cnn_lstm_attention():
    inputs = keras.Input((64, 4))
    x = layers.Conv1D(8, 5, padding="same", activation="relu")(inputs)
    x = layers.MaxPooling1D(2)(layers.BatchNormalization()(x))
    x = layers.Bidirectional(layers.LSTM(8, return_sequences=True))(x)
    score = layers.Dense(1, activation="tanh")(x)
    score = layers.Flatten()(score)
    weights = layers.Activation("softmax")(score)
    weights = layers.Permute((2, 1))(layers.RepeatVector(16)(weights))
    x = layers.Multiply()([x, weights])
    x = ops.sum(x, axis=1)
    return keras.Model(inputs, layers.Dense(2, activation="softmax")(layers.Dropout(0.4)(x)))


@usual
def tabular():
    numbers = keras.Input((5,), name="numbers")
    town, job = keras.Input((1,), name="town", dtype="int32"), keras.Input((1,), name="job", dtype="int32")
    embedded = [layers.Flatten()(layers.Embedding(9, 4)(town)), layers.Flatten()(layers.Embedding(5, 3)(job))]
    x = layers.concatenate([numbers, *embedded])
    for units in (16, 8):
        x = layers.Dropout(0.2)(layers.BatchNormalization()(layers.Dense(units, activation="relu")(x)))
    example = {"numbers": floats(5), "town": ids(9, 1), "job": ids(5, 1)}
    return keras.Model([numbers, town, job], layers.Dense(1)(x)), example


class TransformerBlock(layers.Layer):
    def __init__(self, embed_dim, num_heads, ff_dim, rate=0.1):
        super().__init__()
        self.att = layers.MultiHeadAttention(num_heads=num_heads, key_dim=embed_dim)
        self.ffn = keras.Sequential([layers.Dense(ff_dim, activation="relu"), layers.Dense(embed_dim)])
        self.layernorm1 = layers.LayerNormalization(epsilon=1e-6)
        self.layernorm2 = layers.LayerNormalization(epsilon=1e-6)
        self.dropout1 = layers.Dropout(rate)
        self.dropout2 = layers.Dropout(rate)

    def call(self, inputs):
        attn_output = self.dropout1(self.att(inputs, inputs))
        out1 = self.layernorm1(inputs + attn_output)
        return self.layernorm2(out1 + self.dropout2(self.ffn(out1)))


class TokenAndPositionEmbedding(layers.Layer):
    def __init__(self, maxlen, vocab_size, embed_dim):
        super().__init__()
        self.token_emb = layers.Embedding(input_dim=vocab_size, output_dim=embed_dim)
        self.pos_emb = layers.Embedding(input_dim=maxlen, output_dim=embed_dim)

    def call(self, x):
        positions = ops.arange(0, ops.shape(x)[-1], 1)
        return self.token_emb(x) + self.pos_emb(positions)


@usual
def transformer_classifier():
    inputs = keras.Input((16,), dtype="int32")
    x = TokenAndPositionEmbedding(16, 40, 8)(inputs)
    x = TransformerBlock(8, 2, 16)(x)
    x = layers.Dropout(0.1)(layers.GlobalAveragePooling1D()(x))
    return keras.Model(inputs, layers.Dense(2, activation="softmax")(x)), ids(40, 16)


class Patches(layers.Layer):
    def __init__(self, patch_size):
        super().__init__()
        self.patch_size = patch_size

    def call(self, images):
        batch, height, width, channels = ops.shape(images)
        side = self.patch_size
        rows, columns = height // side, width // side
        x = ops.reshape(images, (batch, rows, side, columns, side, channels))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        return ops.reshape(x, (batch, rows * columns, side * side * channels))


class PatchEncoder(layers.Layer):
    def __init__(self, num_patches, projection_dim):
        super().__init__()
        self.num_patches = num_patches
        self.projection = layers.Dense(projection_dim)
        self.position_embedding = layers.Embedding(num_patches, projection_dim)

    def call(self, patch):
        positions = ops.expand_dims(ops.arange(0, self.num_patches), axis=0)
        return self.projection(patch) + self.position_embedding(positions)


@usual
def vit():
    inputs = keras.Input((16, 16, 3))
    encoded = PatchEncoder(16, 12)(Patches(4)(inputs))
    for _ in range(2):
        x1 = layers.LayerNormalization(epsilon=1e-6)(encoded)
        x2 = layers.Add()([layers.MultiHeadAttention(2, 6, dropout=0.1)(x1, x1), encoded])
        x3 = layers.LayerNormalization(epsilon=1e-6)(x2)
        x3 = layers.Dense(12)(layers.Dropout(0.1)(layers.Dense(24, activation=keras.activations.gelu)(x3)))
        encoded = layers.Add()([x3, x2])
    x = layers.Flatten()(layers.LayerNormalization(epsilon=1e-6)(encoded))
    return keras.Model(inputs, layers.Dense(5)(layers.Dropout(0.5)(x)))


class Autoencoder(keras.Model):
    def __init__(self):
        super().__init__()
        self.encoder = keras.Sequential(
            [
                layers.Conv2D(6, 3, activation="relu", padding="same", strides=2),
                layers.Conv2D(4, 3, activation="relu", padding="same", strides=2),
            ]
        )
        self.decoder = keras.Sequential(
            [
                layers.Conv2DTranspose(4, 3, strides=2, activation="relu", padding="same"),
                layers.Conv2DTranspose(6, 3, strides=2, activation="relu", padding="same"),
                layers.Conv2D(1, 3, activation="sigmoid", padding="same"),
            ]
        )

    def call(self, x):
        return self.decoder(self.encoder(x))


@usual
def convolutional_autoencoder():
    return Autoencoder(), floats(16, 16, 1)


@usual
def seq2seq():
    encoder_inputs, decoder_inputs = keras.Input((None, 5), name="source"), keras.Input((None, 4), name="target")
    _, state_h, state_c = layers.LSTM(6, return_state=True)(encoder_inputs)
    decoder = layers.LSTM(6, return_sequences=True, return_state=True)
    outputs, _, _ = decoder(decoder_inputs, initial_state=[state_h, state_c])
    return keras.Model([encoder_inputs, decoder_inputs], layers.Dense(4, activation="softmax")(outputs))


@usual
def siamese():
    inputs = keras.Input((12, 12, 1))
    x = layers.MaxPooling2D()(layers.Conv2D(6, 3, activation="relu")(inputs))
    tower = keras.Model(inputs, layers.Dense(8)(layers.Flatten()(x)), name="tower")
    left, right = keras.Input((12, 12, 1), name="left"), keras.Input((12, 12, 1), name="right")
    distance = ops.sqrt(ops.sum(ops.square(tower(left) - tower(right)), axis=1, keepdims=True) + 1e-7)
    return keras.Model([left, right], layers.Dense(1, activation="sigmoid")(distance))


@usual
def multi_task():
    inputs = keras.Input((10,), name="features")
    x = layers.Dense(12, activation="swish")(inputs)
    return keras.Model(
        inputs,
        {"price": layers.Dense(1, name="price")(x), "kind": layers.Dense(3, activation="softmax", name="kind")(x)},
    )


def _squeeze_and_excite(x, ratio=4):
    channels = x.shape[-1]
    s = layers.GlobalAveragePooling2D(keepdims=True)(x)
    s = layers.Conv2D(channels // ratio, 1, activation="swish")(s)
    return layers.Multiply()([x, layers.Conv2D(channels, 1, activation="sigmoid")(s)])


@usual
def mobile_blocks():
    inputs = keras.Input((32, 32, 3))
    x = layers.Rescaling(1.0 / 127.5, offset=-1)(inputs)
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization(momentum=0.9)(x))
    for stride in (1, 2):
        h = layers.Conv2D(16, 1, use_bias=False)(x)
        h = layers.Activation("hard_swish")(layers.BatchNormalization()(h))
        h = layers.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False)(h)
        h = layers.Activation("hard_swish")(layers.BatchNormalization()(h))
        h = layers.Conv2D(8, 1, use_bias=False)(_squeeze_and_excite(h))
        h = layers.BatchNormalization()(h)
        x = layers.Add()([x, h]) if stride == 1 else h
    return keras.Model(inputs, layers.Dense(4)(layers.GlobalAveragePooling2D()(x)))


@usual
def wavenet():
    inputs = keras.Input((None, 3))
    x = layers.Conv1D(8, 2, padding="causal")(inputs)
    skips = []
    for rate in (1, 2, 4):
        gate = layers.Conv1D(8, 2, dilation_rate=rate, padding="causal", activation="sigmoid")(x)
        signal = layers.Conv1D(8, 2, dilation_rate=rate, padding="causal", activation="tanh")(x)
        h = layers.Conv1D(8, 1)(layers.Multiply()([gate, signal]))
        skips.append(h)
        x = layers.Add()([x, h])
    x = layers.Activation("relu")(layers.Add()(skips))
    return keras.Model(inputs, layers.Conv1D(2, 1)(x))


@usual
def inception_block():
    inputs = keras.Input((16, 16, 4))
    towers = [
        layers.Conv2D(4, 1, padding="same", activation="relu")(inputs),
        layers.Conv2D(4, 3, padding="same", activation="relu")(layers.Conv2D(3, 1, activation="relu")(inputs)),
        layers.Conv2D(4, 5, padding="same", activation="relu")(layers.Conv2D(3, 1, activation="relu")(inputs)),
        layers.Conv2D(4, 1, activation="relu")(layers.MaxPooling2D(3, strides=1, padding="same")(inputs)),
    ]
    x = layers.concatenate(towers, axis=3)
    x = layers.AveragePooling2D(3, strides=2, padding="same")(x)
    return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x)))


class Sampling(layers.Layer):
    def call(self, z_mean, z_log_var):
        return z_mean + ops.exp(0.5 * z_log_var)


class GatedResidualNetwork(layers.Layer):
    def __init__(self, units, dropout_rate):
        super().__init__()
        self.units = units
        self.elu_dense = layers.Dense(units, activation="elu")
        self.linear_dense = layers.Dense(units)
        self.dropout = layers.Dropout(dropout_rate)
        self.gate = layers.Dense(units, activation="sigmoid")
        self.value = layers.Dense(units)
        self.layer_norm = layers.LayerNormalization()
        self.project = layers.Dense(units)

    def call(self, inputs):
        x = self.dropout(self.linear_dense(self.elu_dense(inputs)))
        if inputs.shape[-1] != self.units:
            inputs = self.project(inputs)
        return self.layer_norm(inputs + self.gate(x) * self.value(x))


@usual
def gated_residual_network():
    inputs = keras.Input((7,))
    x = GatedResidualNetwork(12, 0.1)(inputs)
    return keras.Model(inputs, layers.Dense(1)(GatedResidualNetwork(12, 0.1)(x)))


@usual
def encoder_of_means():
    inputs = keras.Input((20,))
    h = layers.Dense(12, activation="selu")(inputs)
    mean, spread = layers.Dense(3)(h), layers.Dense(3, activation="softplus")(h)
    return keras.Model(inputs, [mean, spread, Sampling()(mean, spread)])


@usual
def conv_lstm_of_frames():
    inputs = keras.Input((4, 12, 12, 2))
    x = layers.TimeDistributed(layers.Conv2D(5, 3, activation="relu"))(inputs)
    x = layers.TimeDistributed(layers.GlobalAveragePooling2D())(x)
    return keras.Model(inputs, layers.Dense(3)(layers.LSTM(6)(x)))


@usual
def video_cnn():
    inputs = keras.Input((6, 10, 10, 1))
    x = layers.MaxPool3D(2)(layers.Conv3D(4, 3, activation="relu", padding="same")(inputs))
    x = layers.BatchNormalization()(x)
    return keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling3D()(x)))


@usual
def attention_pooling():
    inputs = keras.Input((9, 6))
    x = layers.Attention()([inputs, layers.Dense(6)(inputs)])
    x = layers.LayerNormalization()(layers.Add()([x, inputs]))
    return keras.Model(inputs, layers.Dense(2)(layers.GlobalMaxPooling1D()(x)))


@usual
def frozen_base():
    inputs = keras.Input((16, 16, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3, activation="relu")(inputs))
    base = keras.Model(inputs, layers.BatchNormalization()(x), name="base")
    base.trainable = False
    images = keras.Input((16, 16, 3))
    return keras.Model(images, layers.Dense(2)(layers.Dropout(0.2)(base(images, training=False))))

"""Keras models as people write them, carried to torch with every rung: masks, images, training, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from onnxpress.export.port.carrying import carry
from onnxpress.export.port.refusal import NoCorrespondence
from onnxpress.export.source import Source

pytestmark = [pytest.mark.torch, pytest.mark.tensorflow]
L = keras.layers
MODELS: dict[str, Callable[[], Any]] = {}
rng = np.random.default_rng(0)


def model(build: Callable[[], Any]) -> Callable[[], Any]:
    MODELS[build.__name__] = build
    return build


def source_of(built: Any) -> Source:
    network, example = built if isinstance(built, tuple) else (built, None)
    if example is not None and not network.built:
        network(example)
    given = {} if example is None else {"example_inputs": example}
    return Source(reference="nets:build", name="nets", framework="tensorflow", network=network, **given)


def padded_ids() -> Any:
    """Words, and zeros behind them."""
    return np.where(np.arange(7) < rng.integers(1, 8, (8, 1)), rng.integers(1, 9, (8, 7)), 0).astype(np.int32)


def noise(*shape: int) -> Any:
    return rng.standard_normal((6, *shape)).astype(np.float32)


# --- masks that cross the border of a model or layer


class Padded(L.Layer):
    """Tells its mask itself."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = L.Embedding(9, 6, mask_zero=True), L.Embedding(7, 6)

    def call(self, ids: Any) -> Any:
        return self.words(ids) + self.places(ops.arange(7))

    def compute_mask(self, ids: Any, mask: Any = None) -> Any:
        return self.words.compute_mask(ids)


class Encoder(L.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.attention, self.norm = L.MultiHeadAttention(2, 3), L.LayerNormalization()
        self.supports_masking = True

    def call(self, x: Any, training: Any = None) -> Any:
        return self.norm(x + self.attention(x, x))


class Weighted(L.Layer):
    """Takes the mask as an argument, and hands on none."""

    def __init__(self) -> None:
        super().__init__()
        self.score = L.Dense(1)

    def call(self, x: Any, mask: Any = None) -> Any:
        scores = ops.squeeze(self.score(x), -1)
        scores = scores if mask is None else ops.where(mask, scores, -1e9)
        return ops.sum(x * ops.expand_dims(ops.softmax(scores, axis=1), -1), axis=1)

    def compute_mask(self, x: Any, mask: Any = None) -> None:
        return None


@model
def masks_across_layers_of_one_s_own() -> Any:
    x = keras.Input((7,), dtype="int32")
    h = Encoder()(Padded()(x))
    pooled = L.GlobalAveragePooling1D()(h)
    return keras.Model(x, L.Dense(2)(L.concatenate([pooled, Weighted()(h)]))), padded_ids()


@model
def mask_out_of_a_nested_model() -> Any:
    words = keras.Sequential([L.Input((7,), dtype="int32"), L.Embedding(9, 5, mask_zero=True), L.Dropout(0.1)])
    x = keras.Input((7,), dtype="int32")
    return keras.Model(x, L.Dense(2)(L.LSTM(4)(words(x)))), padded_ids()


# --- recurrence


@model
def recurrence_of_other_activations() -> Any:
    """As in the usual autoencoder over time series; the GRU resets before the product."""
    x = keras.Input((5, 3))
    h = L.LSTM(4, activation="relu", return_sequences=True)(x)
    h = L.Bidirectional(L.GRU(3, reset_after=False, return_sequences=True))(h)
    return keras.Model(x, L.LSTM(3, activation="softsign", recurrent_activation="hard_sigmoid", use_bias=False)(h))


@model
def states_behind_masks() -> Any:
    """Keras reads no mask beside states that are given, but one that is given as well."""
    x, y = keras.Input((7,), dtype="int32", name="x"), keras.Input((7,), dtype="int32", name="y")
    words = L.Embedding(9, 5, mask_zero=True)
    read, hidden, cell = L.LSTM(4, return_sequences=True, return_state=True)(words(x))
    written = L.LSTM(4, return_sequences=True)(words(y), initial_state=[hidden, cell])
    told, last = L.GRU(4, return_sequences=True, return_state=True)(read, initial_state=cell, mask=ops.not_equal(x, 0))
    return keras.Model([x, y], [L.AdditiveAttention()([written, told]), last]), [padded_ids(), padded_ids()]


@model
def backwards_behind_a_mask() -> Any:
    """The last layer reads a mask that lies as the steps did before the first turned them round."""
    x = keras.Input((7,), dtype="int32")
    h = L.LSTM(4, return_sequences=True, go_backwards=True)(L.Embedding(9, 5, mask_zero=True)(x))
    return keras.Model(x, [L.GRU(3, go_backwards=True)(h), L.GlobalAveragePooling1D()(h)]), padded_ids()


@model
def recurrence_one_way_and_both_ways() -> Any:
    """The second bias of the way back is none of every layer's that the first weights are drawn of."""
    x = keras.Input((5, 3))
    h = L.Bidirectional(L.LSTM(4, return_sequences=True))(x)
    return keras.Model(x, L.LSTM(3)(L.LSTM(4, use_bias=False, return_sequences=True)(h)))


# --- training


@model
def batch_norm_that_is_called_twice() -> Any:
    shared = keras.Sequential([keras.Input((4,)), L.Dense(5), L.BatchNormalization()], name="shared")
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    return keras.Model([a, b], ops.sum(ops.square(shared(a) - shared(b)), axis=-1))


@model
def dropout_that_changes_nothing() -> Any:
    """As in keras.io's transformer over time series: a norm of one feature answers its bias alone."""
    x = keras.Input((5, 1))
    h = L.LayerNormalization()(L.Dropout(0.2)(L.Dense(1)(x)))
    return keras.Model(x, L.Dense(2)(L.Flatten()(h + x)))


class Penalised(L.Layer):
    def call(self, x: Any) -> Any:
        self.add_loss(ops.mean(ops.square(x)))
        return x


@model
def loss_of_a_layer_s_own() -> Any:
    x = keras.Input((4,))
    return keras.Model(x, Penalised()(L.Dense(3)(x)))


@model
def noise_in_training() -> Any:
    x = keras.Input((4,))
    return keras.Model(x, L.Dense(2)(L.GaussianDropout(0.2)(L.Dense(3)(L.GaussianNoise(0.1)(x)))))


# --- images


class Patches(L.Layer):
    def call(self, images: Any) -> Any:
        batch, height, width, channels = ops.shape(images)
        found = ops.image.extract_patches(images, size=4)
        return ops.reshape(found, (batch, (height // 4) * (width // 4), 16 * channels))


@model
def augmented_resized_patches() -> Any:
    x = keras.Input((10, 12, 3))
    scaled = L.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 1.5])
    h = keras.Sequential([scaled, L.CenterCrop(10, 10), L.Resizing(8, 12), L.RandomFlip(), L.RandomRotation(0.1)])(x)
    return keras.Model(x, [L.Dense(4)(Patches()(h)), ops.image.extract_patches(h, 3, strides=2)])


class Dicts(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.dense = L.Dense(3)

    def call(self, inputs: Any) -> Any:
        return {"logits": self.dense(inputs["signal"]), "features": inputs["signal"], "meta": ops.tanh(inputs["meta"])}


@model
def answers_that_are_called_as_inputs() -> Any:
    return Dicts(), {"signal": noise(5, 4), "meta": noise(3)}


# --- what is joined, grouped and chosen


@model
def cosines_and_bins() -> Any:
    x, y = keras.Input((3, 4)), keras.Input((4,))
    bins = L.Embedding(4, 2)(L.Discretization(bin_boundaries=[-0.5, 0.0, 0.7])(y))
    cosine = L.Dot(axes=(2, 1), normalize=True)([x, y])
    return keras.Model([x, y], [cosine, L.Dot(axes=1, normalize=True)([y, L.Dense(4)(y)]), bins])


@model
def grouped_queries() -> Any:
    x = keras.Input((5, 8))
    h = L.GroupQueryAttention(head_dim=3, num_query_heads=4, num_key_value_heads=2)(x, x, use_causal_mask=True)
    values, _ = ops.top_k(h, 3)
    return keras.Model(x, [ops.tril(h @ ops.transpose(h, (0, 2, 1))), values, ops.sort(h, axis=1)])


@pytest.mark.parametrize("name", MODELS)
def test_every_rung_holds(name: str, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    found = carry(source_of(MODELS[name]()), to="pytorch", output=tmp_path / "nets.py")
    assert found.report.proven
    told = "\n".join(difference for rung in found.report.rungs for difference in rung.differences)
    for layer in {
        "augmented_resized_patches": ["random_flip", "random_rotation"],
        "loss_of_a_layer_s_own": ["penalised"],
    }.get(name, []):
        assert layer in told


# --- what is refused


class Never(keras.Model):
    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.dense, self.inner = L.Dense(4), inner

    def call(self, x: Any, training: Any = None) -> Any:
        return self.inner(self.dense(x), training=False)


@pytest.mark.parametrize("inner", [L.Dropout(0.5), L.BatchNormalization()])
def test_a_layer_that_never_trains_is_refused(inner: Any, tmp_path: Path) -> None:
    """Inference and training without dropout are the same as with one that trains, so that no rung would tell."""
    with pytest.raises(NoCorrespondence, match="training=False always"):
        carry(source_of((Never(inner), noise(3))), to="pytorch", output=tmp_path / "nets.py")


def test_a_mask_of_one_of_several_answers_is_refused_where_it_is_read(tmp_path: Path) -> None:
    ids = keras.Input((7,), dtype="int32")
    h = L.Embedding(9, 5, mask_zero=True)(ids)
    words = keras.Model(ids, [h, h[:, 0]], name="words")
    x = keras.Input((7,), dtype="int32")
    each, whole = words(x)
    with pytest.raises(NoCorrespondence, match="a mask of one of several answers"):
        carry(source_of(keras.Model(x, [L.LSTM(4)(each), whole])), to="pytorch", output=tmp_path / "nets.py")
    unread = keras.Model(x, [L.Dense(2)(each), whole])
    assert carry(source_of((unread, padded_ids())), to="pytorch", output=tmp_path / "nets.py").report.proven


def test_steps_that_a_mask_hides_are_refused_where_a_layer_of_each_step_reads_one(tmp_path: Path) -> None:
    x = keras.Input((5, 3, 2))
    h = L.Masking()(x)
    with pytest.raises(NoCorrespondence, match="of a layer that reads it"):
        carry(source_of(keras.Model(x, L.TimeDistributed(L.LSTM(2))(h))), to="pytorch", output=tmp_path / "nets.py")
    unread = keras.Model(x, L.TimeDistributed(L.Dense(2))(h))
    assert carry(source_of(unread), to="pytorch", output=tmp_path / "nets.py").report.proven

"""A Keras model becomes torch code that answers, differentiates and learns the same; what fails it is not written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
from keras import ops
from tests.export.port.formatting import assert_formatted

from onnxpress.core.arrays import Array
from onnxpress.export.networks.wrap import wrap
from onnxpress.export.port.carrying import carry
from onnxpress.export.port.draft import two_sizes
from onnxpress.export.port.from_keras.model import LAYERS, Translated, root_graph, translated
from onnxpress.export.port.from_keras.running import run
from onnxpress.export.port.keras_draft import KerasDraft
from onnxpress.export.port.proof.keras_source import gradients, parameters
from onnxpress.export.port.proof.keras_training import training
from onnxpress.export.port.proof.parting import OfKeras, each_step, growth
from onnxpress.export.port.refusal import NoCorrespondence
from onnxpress.export.port.table import FROM_KERAS
from onnxpress.export.source import Source, SourceRef
from onnxpress.export.sources.resolve import from_object

pytestmark = [pytest.mark.torch, pytest.mark.tensorflow]
L = keras.layers


def source_of(model: Any, example: Any = None) -> Source:
    return from_object(model, "net", SourceRef(reference="nets:build"), {}, *([] if example is None else [example]))


def seizures() -> Any:
    """As public projects write them: convolutions, batch norm, dropout, a flattening."""
    model = keras.Sequential(
        [
            keras.Input((16, 3)),
            L.Conv1D(6, 5, strides=2, padding="same", activation="relu", name="conv1"),
            L.BatchNormalization(momentum=0.8, name="bn1"),
            L.Dropout(0.1, name="drop1"),
            L.Conv1D(4, 3, padding="same", activation="elu", name="conv2"),
            L.Flatten(),
            L.Dropout(0.3, name="drop"),
            L.Dense(2, name="fc", kernel_regularizer="l2"),
        ]
    )
    model.get_layer("bn1").moving_mean.assign(np.linspace(-1, 1, 6))
    return model


@pytest.fixture(scope="module")
def draft() -> KerasDraft:
    keras.utils.set_random_seed(0)
    return KerasDraft(source_of(seizures()), "nets.safetensors")


def test_every_rung_holds_and_the_code_is_a_person_s(draft: KerasDraft, tmp_path: Path) -> None:
    written = tmp_path / "nets.py"
    written.write_text(draft.code.text)
    rungs = {rung.name: rung for rung in draft.rungs(draft.target(written))}
    assert [name for name, rung in rungs.items() if rung.holds] == ["answers", "parameters", "gradients", "training"], (
        rungs
    )
    assert any("bn1.running_var" in difference for difference in rungs["training"].differences)
    assert draft.translated.inputs == [(0, 2, 1)]
    assert draft.translated.transposes == 0  # the weights behind the flattening follow
    assert "nn.BatchNorm1d(6, eps=0.001, momentum=0.2)" in draft.code.text
    assert_formatted(written)


@pytest.mark.parametrize(
    ("right", "wrong", "rung", "said"),
    [
        ("eps=0.001", "eps=0.1", "answers", "the worst"),
        ("elu(self.conv2", "relu(self.conv2", "answers", "the worst"),
        ("momentum=0.2", "momentum=0.8", "training", "bn1.running_mean"),
        ("self.drop(x.flatten(1))", "x.flatten(1)", "training", "changes no answer"),
        ("nn.Dropout(0.3)", "nn.Dropout(0.5)", "training", "leaves out"),
        ("nn.Dropout(0.1)", "nn.Dropout(0.0)", "training", "dropouts in the source"),
        ("self.apply(like_keras)", "self.conv1.requires_grad_(False)", "parameters", "learns in one"),
        ("0.01 * model", "0.1 * model", "training", "penalty(model) adds another"),
        ("x.flatten(1)", "x.flatten(1).detach()", "gradients", "the worst by"),
    ],
)
def test_a_fault_in_the_code_is_caught(
    right: str, wrong: str, rung: str, said: str, draft: KerasDraft, tmp_path: Path
) -> None:
    assert right in draft.code.text
    written = tmp_path / "nets.py"
    written.write_text(draft.code.text.replace(right, wrong))
    target = draft.target(written)
    if rung == "answers":
        found = draft.answers(target)
    elif rung == "parameters":
        found = parameters(draft.translated, target, list(draft.model.weights))
    else:
        with draft.sides(target) as sides:
            found = {"gradients": gradients, "training": training}[rung](sides)
    assert found.holds is False
    assert said in found.detail


def test_steps_that_are_each_begun_from_the_source_s_weights_show_a_fault(tmp_path: Path) -> None:
    """So are steps compared where the source's own descents part, see `parting`."""
    keras.utils.set_random_seed(0)
    layers = [keras.Input((5,)), L.Dense(4, name="a"), L.BatchNormalization(name="bn"), L.Dense(2, name="b")]
    draft = KerasDraft(source_of(keras.Sequential(layers)), "nets.safetensors")
    written = tmp_path / "nets.py"
    written.write_text(draft.code.text)
    with draft.sides(draft.target(written)) as sides:
        parted = OfKeras(sides)
        sound, limit = each_step(parted, 1e-6)
        assert sound.figure <= limit
        parted.begin()
        assert 0 < growth(parted, [sides.of_keras(training=True)[2]]) < 1e-3
        sides.module.bn.eps = 0.1
        faulty, limit = each_step(parted, 1e-6)
        assert faulty.figure > limit


# --- answers, by the steps themselves, for every kind of layer

MODELS: dict[str, Callable[[], Any]] = {}
rng = np.random.default_rng(0)


def model(build: Callable[[], Any]) -> Callable[[], Any]:
    MODELS[build.__name__] = build
    return build


def ids() -> Array:
    found = rng.integers(1, 10, (8, 7)).astype(np.int32)
    found[np.arange(7) >= rng.integers(0, 8, (8, 1))] = 0
    found[0, 2:4] = 0  # hidden in the middle too
    return found


@model
def padding_same_with_strides() -> Any:
    x = keras.Input((9, 8, 4))
    h = L.SeparableConv2D(6, 3, strides=2, padding="same", depth_multiplier=2, activation="swish")(x)
    h = L.Conv2DTranspose(3, 3, strides=2, padding="same")(L.DepthwiseConv2D(2, padding="same")(h))
    h = L.Conv2DTranspose(2, 2, strides=3)(h)
    pooled = [
        L.MaxPooling2D(3, 2, padding="same")(h),
        L.AveragePooling2D(2, 2, padding="same")(h),
        L.AveragePooling2D(3, 1, padding="same")(h),
        L.MaxPooling2D(2, 1, padding="same")(h),
    ]
    return keras.Model(x, [L.GlobalAveragePooling2D()(p) for p in pooled])


@model
def images_flattened_and_scaled() -> Any:
    x = keras.Input((8, 8, 3))
    scale = L.Normalization()
    scale.adapt(rng.normal(3, 2, (50, 8, 8, 3)).astype(np.float32))
    h = L.Conv2D(6, 3, groups=3)(L.Rescaling(0.5, offset=-1)(scale(x)))
    gate = L.Reshape((1, 1, 6))(L.GlobalMaxPooling2D()(h))
    h = L.GroupNormalization(3)(L.Multiply()([h, L.Dense(6, "sigmoid")(gate)]))
    h = L.BatchNormalization()(L.Flatten()(L.UpSampling2D(interpolation="bilinear")(L.Cropping2D(1)(h))))
    return keras.Model(x, L.Dense(2)(L.LayerNormalization()(h)))


@model
def recurrent_ways() -> Any:
    x = keras.Input((7, 3))
    both = L.Bidirectional(L.LSTM(4, return_sequences=True), merge_mode="sum")(x)
    first = L.GRU(5, return_sequences=True, go_backwards=True)(both)
    _, h, c = L.LSTM(4, return_state=True)(first)
    again = L.LSTM(4, return_sequences=True)(both, initial_state=[h, c])
    each = L.TimeDistributed(L.Dense(2, "softmax"))(again)
    return keras.Model(x, [each, L.Bidirectional(L.GRU(3, dropout=0.1))(x), L.SimpleRNN(2, activation="relu")(x)])


@model
def behind_a_mask() -> Any:
    x = keras.Input((7,), dtype="int32", name="x")
    h = L.Dropout(0.1)(L.Embedding(10, 8, mask_zero=True)(x))
    pooled = L.GlobalAveragePooling1D()(L.Bidirectional(L.LSTM(3, return_sequences=True))(h))
    return keras.Model(
        x, [pooled, L.GRU(4)(L.GRU(3, return_sequences=True)(h)), L.MultiHeadAttention(2, 4)(h, h)]
    ), ids()


@model
def attention_of_every_kind() -> Any:
    x, y = keras.Input((5, 8)), keras.Input((6, 8))
    heads = L.MultiHeadAttention(2, 3, value_dim=5, dropout=0.1)
    found = L.Add()([x, heads(x, y)]) + L.MultiHeadAttention(2, 4)(x, x, use_causal_mask=True)
    return keras.Model([x, y], [found, L.Attention(use_scale=True)([x, y]), L.AdditiveAttention()([x, y])])


@model
def functions_and_activations() -> Any:
    x = keras.Input((6, 4))
    mixed = ops.einsum("bij,bjk->bik", ops.matmul(x, ops.transpose(x, (0, 2, 1))), x)
    part, rest = ops.split(ops.stack([mixed, mixed * 2], axis=1), 2, axis=-1)
    named = ("gelu", "leaky_relu", "selu", "hard_sigmoid", "log_softmax", "exponential", "mish", "softplus")
    return keras.Model(
        x,
        [
            ops.mean(part, axis=(1, 2)), ops.max(rest, axis=-1), ops.where(x > 0, x, -x)[:, ::-1, 1:],
            ops.std(x, axis=1), ops.cumsum(x, axis=1), L.PReLU()(x), L.ReLU(max_value=6)(x), L.Softmax(axis=1)(x),
            *(L.Dense(3, activation=name)(x) for name in named), L.Dense(3, activation=lambda t: ops.relu(t) ** 2)(x),
        ],
    )  # fmt: skip


class Pooled(L.Layer):
    def build(self, shape: Any) -> None:
        self.w = self.add_weight(shape=(shape[-1], 5), name="w")
        self.v = self.add_weight(shape=(5, 1), name="v")

    def call(self, x: Any) -> Any:
        scores = ops.matmul(ops.tanh(ops.matmul(x, self.w)), self.v)
        return ops.sum(x * ops.softmax(scores, axis=1), axis=1)


class Heads(L.Layer):
    """With TensorFlow's own functions, and a batch size that it asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = [L.Dense(8) for _ in range(3)]

    def call(self, x: Any) -> Any:
        batch = tf.shape(x)[0]
        q, k, v = (tf.transpose(tf.reshape(d(x), (batch, -1, 2, 4)), [0, 2, 1, 3]) for d in self.qkv)
        found = tf.matmul(tf.nn.softmax(tf.matmul(q, k, transpose_b=True) / 2.0, axis=-1), v)
        return tf.reshape(tf.transpose(found, [0, 2, 1, 3]), (batch, -1, 8))


@model
def functions_of_tensorflow() -> Any:
    x = keras.Input((None, 3))
    return keras.Model(x, L.LSTM(2)(Heads()(x)))


class Token(L.Layer):
    """As a vision transformer begins: one row of weights before those of each image."""

    def build(self, shape: Any) -> None:
        self.token = self.add_weight(shape=(1, 1, shape[-1]), initializer="random_normal", name="token")

    def call(self, x: Any) -> Any:
        rows = ops.shape(x)[0]
        return ops.concatenate([ops.broadcast_to(self.token, (rows, 1, x.shape[-1])), x], axis=1)


@model
def a_token_before_each_row() -> Any:
    x = keras.Input((5, 4))
    return keras.Model(x, L.Dense(2)(Token()(x)))


class OfTensorflow(L.Layer):
    """What TensorFlow has under names of its own."""

    def call(self, x: Any) -> Any:
        x = tf.nn.l2_normalize(tf.clip_by_value(x, -1.0, 1.5), axis=-1)
        first, second = tf.unstack(tf.gather(x, [2, 0], axis=1), axis=1)
        score = tf.nn.log_softmax(first * second) + tf.math.reduce_std(x, axis=1)
        best = tf.one_hot(tf.argmax(score, axis=-1), 3) * tf.reduce_logsumexp(score, axis=-1, keepdims=True)
        return tf.math.softmax(score) + best


@model
def functions_that_keras_calls_otherwise() -> Any:
    x = keras.Input((4, 3))
    return keras.Model(x, OfTensorflow()(x))


class Own(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.conv = L.Conv1D(8, 3, padding="causal")
        self.blocks = [L.Dense(8, "relu") for _ in range(2)]
        self.pooled = Pooled()
        self.frozen = L.BatchNormalization(trainable=False)

    def call(self, x: Any, training: Any = None) -> Any:
        x = ops.relu(self.conv(x))
        for block in self.blocks:
            x = x + block(x)
        return {"pooled": self.pooled(self.frozen(x, training=training)), "last": x[:, -1]}


class Tied(keras.Model):
    """One table for what comes in and goes out, and learned positions."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = L.Embedding(10, 6), L.Embedding(7, 6)

    def call(self, x: Any) -> Any:
        found = self.words(x) + self.places(ops.arange(7))
        return ops.matmul(found, ops.transpose(self.words.embeddings))


@model
def a_table_that_is_shared() -> Any:
    return Tied(), ids()


@model
def subclassed_with_layers_of_its_own() -> Any:
    return Own(), rng.normal(size=(8, 12, 3)).astype(np.float32)


@model
def nested_and_shared() -> Any:
    frames = keras.Sequential(
        [keras.Input((8, 8, 2)), L.Conv2D(3, 3, activation="relu"), L.GlobalAveragePooling2D()], name="frames"
    )
    x, y = keras.Input((4, 8, 8, 2)), keras.Input((8, 8, 2))
    return keras.Model([x, y], L.LSTM(3)(L.TimeDistributed(frames)(x)) - frames(y))


def translation(built: Any) -> tuple[Any, Translated, list[dict[str, Array]]]:
    source = source_of(*built) if isinstance(built, tuple) else source_of(built)
    network = wrap(source)
    feeds = two_sizes(network, network.examples(8) or {})
    symbols = [
        keras.KerasTensor(tuple(None if isinstance(s, str) else s for s in spec.shape), spec.dtype, name=spec.name)
        for spec in network.inputs
    ]
    graph, names, order = root_graph(source.network, network.call, symbols)
    specs = [network.inputs[n] for n in order]
    return (
        network,
        translated(source.network, graph, names, specs, feeds),
        [{s.name: f[s.name] for s in specs} for f in feeds],
    )


@pytest.mark.parametrize("name", MODELS)
def test_answers_are_the_same(name: str) -> None:
    keras.utils.set_random_seed(0)
    network, found, feeds = translation(MODELS[name]())
    for feed in feeds:
        wanted = network.run(feed, "float32")
        given = [torch.from_numpy(np.array(v.transpose(p))) for v, p in zip(feed.values(), found.inputs, strict=True)]
        with torch.no_grad():
            answered = run(found.block, given)
        layouts = found.outputs if isinstance(found.outputs, dict | list) else [found.outputs]
        answered = answered if isinstance(answered, dict | tuple) else [answered]
        keys = list(layouts) if isinstance(layouts, dict) else list(range(len(layouts)))
        for key, (label, array) in zip(keys, wanted.items(), strict=True):
            if isinstance(key, str):
                label, array = key, wanted[key]
            mine = answered[key].numpy().transpose(np.argsort(layouts[key].perm))
            np.testing.assert_allclose(mine, array, rtol=1e-4, atol=1e-5 * max(1, np.abs(array).max()), err_msg=label)


# --- what is refused


class Branches(L.Layer):
    def call(self, x: Any) -> Any:
        return x * 2 if ops.sum(x) > 0 else x

    def compute_output_shape(self, shape: Any) -> Any:
        return shape


@pytest.mark.parametrize(
    ("layer", "said", "where"),
    [
        (L.LSTM(3, recurrent_dropout=0.2), "recurrent_dropout", "lstm"),
        (L.SimpleRNN(3, activation="gelu"), "activations", "simple_rnn"),
        (L.ConvLSTM1D(3, 3), "ConvLSTM1D", "conv_lstm1d"),
        (Branches(), "cannot be traced", "test_from_keras.py:"),
        (L.Dense(3, dtype="mixed_float16"), "float16", "dense"),
    ],
)
def test_what_has_no_correspondence_is_refused_and_nothing_is_written(
    layer: Any, said: str, where: str, tmp_path: Path
) -> None:
    x = keras.Input((4, 6) if "conv" not in layer.name else (4, 6, 2))
    with pytest.raises(NoCorrespondence, match=said) as caught:
        carry(source_of(keras.Model(x, layer(x))), to="pytorch", output=tmp_path / "nets.py")
    assert where in str(caught.value.where)
    assert not list(tmp_path.iterdir())


def test_a_model_that_keras_cannot_build_again_is_proven_in_float64(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    x = keras.Input((4, 3))
    built = keras.Model(x, L.Dense(2)(L.Lambda(lambda t: ops.sum(t * ops.softmax(t, axis=1), axis=1))(x)))
    before = built.get_weights()
    found = KerasDraft(source_of(built), "nets.safetensors")
    (tmp_path / "nets.py").write_text(found.code.text)
    with found.sides(found.target(tmp_path / "nets.py")) as sides:
        assert sides.precision == "float64"
        assert gradients(sides).holds
        assert training(sides).holds
    assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(before, built.get_weights(), strict=True))


def test_first_weights_are_drawn_as_keras_draws_them(tmp_path: Path) -> None:
    """Also where layers of one kind differ: with a bias or without, in one direction or two, drawn in another way."""
    keras.utils.set_random_seed(0)
    x = keras.Input((5, 3))
    h = L.LSTM(6, return_sequences=True, use_bias=False)(
        L.Bidirectional(L.LSTM(4, return_sequences=True), name="both")(x)
    )
    h = L.Dense(300, use_bias=False, name="wide")(h)
    found = KerasDraft(
        source_of(keras.Model(x, L.Dense(200, kernel_initializer="he_normal", name="narrow")(h))), "nets.safetensors"
    )
    (tmp_path / "nets.py").write_text(found.code.text)
    scope: dict[str, Any] = {}
    exec(compile(found.code.text, "nets.py", "exec"), scope)
    torch.manual_seed(0)
    built = scope["build"]()
    both = built.both
    assert torch.equal(both.bias_ih_l0_reverse.detach(), torch.tensor([0.0] * 4 + [1.0] * 4 + [0.0] * 8))
    assert not both.bias_hh_l0.requires_grad
    bound = (6 / 306) ** 0.5
    assert 0.99 * bound < built.wide.weight.abs().max().item() <= bound
    assert abs(built.narrow.weight.std().item() - (2 / 300) ** 0.5) < 1e-3
    assert built.narrow.bias.abs().max().item() == 0


class Positions(L.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.table = self.add_weight(shape=(5, 3), initializer="random_normal", name="table")

    def call(self, x: Any) -> Any:
        return x + self.shown()

    def shown(self) -> Any:
        return self.table.value  # TensorFlow's own variable, which is not followed


def test_a_weight_that_became_a_constant_is_missed(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    x = keras.Input((5, 3))
    found = KerasDraft(source_of(keras.Model(x, Positions()(x))), "nets.safetensors")
    (tmp_path / "nets.py").write_text(found.code.text)
    target = found.target(tmp_path / "nets.py")
    assert found.answers(target).holds
    with found.sides(target) as sides:
        rung = gradients(sides)
    assert rung.holds is False
    assert "table learns in the source, and nothing here" in rung.detail


def test_rows_and_writers_are_the_same() -> None:
    assert {row.keras for row in FROM_KERAS} == set(LAYERS)

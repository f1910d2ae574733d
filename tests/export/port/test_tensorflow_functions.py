"""Functions of tf and of Keras's older backend: each is what its counterpart answers, gradients and all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from onnxpress.export.networks.tensorflow.keras_model import KerasNetwork
from onnxpress.export.port.carrying import carry
from onnxpress.export.port.from_keras.tensorflow_functions import OF_BACKEND, OF_TENSORFLOW, within
from onnxpress.export.port.proof.keras_twin import uncompiled, widened
from onnxpress.export.port.refusal import NoCorrespondence
from onnxpress.export.source import SourceRef
from onnxpress.export.sources.resolve import from_object

pytestmark = [pytest.mark.torch, pytest.mark.tensorflow]
L = keras.layers
X = np.random.default_rng(0).normal(size=(2, 4, 6)).astype(np.float32)
POSITIVE, PICTURE = np.abs(X) + 0.1, np.random.default_rng(1).normal(size=(2, 4, 4, 8)).astype(np.float32)
BOOLS, WHOLE = X > 0, np.arange(8).reshape(2, 4) % 5
TWO = ("add", "divide", "equal", "greater", "greater_equal", "less", "less_equal", "maximum", "minimum", "multiply",
       "not_equal", "subtract", "squared_difference")  # fmt: skip
LOGICAL = {"logical_and": (BOOLS, ~BOOLS), "logical_or": (BOOLS, X > 1), "logical_xor": (BOOLS, X > 1),
           "logical_not": (BOOLS,)}  # fmt: skip
GIVEN: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    **{name: ((X, POSITIVE), {}) for name in TWO},
    **{name: (given, {}) for name, given in LOGICAL.items()},
    **{f"reduce_{n}": ((X,), {"axis": [1, 2], "keepdims": True})
       for n in ("sum", "mean", "max", "min", "prod", "logsumexp", "std", "variance")},
    **{f"reduce_{n}": ((BOOLS,), {"axis": -1}) for n in ("any", "all")},
    **{name: ((POSITIVE,), {}) for name in ("sqrt", "log", "log1p", "rsqrt")}, "erfinv": ((X / 10,), {}),
    "pow": ((POSITIVE, 1.5), {}), "cast": ((X, tf.int32), {}), "einsum": (("abc,abd->acd", X, X), {}),
    "expand_dims": ((X, 1), {}), "reshape": ((X, (2, -1, 3)), {}), "stack": (([X, POSITIVE],), {"axis": 1}),
    "tensordot": ((X, X), {"axes": [[1, 2], [1, 2]]}), "broadcast_to": ((X[:, :1], (2, 4, 6)), {}),
    "matmul": ((X, X), {"transpose_b": True}), "transpose": ((X,), {"perm": [0, 2, 1]}),
    "concat": (([X, POSITIVE],), {"axis": 1}), "squeeze": ((X[:, :1],), {"axis": 1}), "split": ((X, [1, 3], 1), {}),
    "unstack": ((X,), {"axis": 1}), "shape": ((X,), {}), "rank": ((X,), {}), "identity": ((X,), {}),
    "tile": ((X, (1, 2, 1)), {}), "pad": ((X, [[0, 0], [1, 2], [0, 0]]), {"mode": "REFLECT"}),
    "where": ((BOOLS, X, POSITIVE), {}), "gather": ((X, [0, 2]), {"axis": 1}), "one_hot": ((WHOLE, 5), {}),
    "argmax": ((X,), {"axis": 1}), "argmin": ((X,), {}), "clip_by_value": ((X, -0.5, 0.5), {}),
    "repeat": ((X, 2), {"axis": 1}), "reverse": ((X, [1]), {}), "roll": ((X, 1, 1), {}), "cumsum": ((X,), {"axis": 1}),
    "add_n": (([X, X, POSITIVE],), {}), "convert_to_tensor": ((X,), {}), "slice": ((X, [0, 1, 0], [-1, 2, 3]), {}),
    "norm": ((X,), {"axis": -1, "keepdims": True}), "ensure_shape": ((X, (None, 4, 6)), {}),
    "divide_no_nan": ((X, np.where(X > 0, X, 0)), {}), "moments": ((X, [0, 1]), {}), "bias_add": ((X, X[0, 0]), {}),
    "batch_normalization": ((X, X[0, 0], POSITIVE[0, 0], X[0, 1], X[0, 2], 1e-3), {}),
    "embedding_lookup": ((X[0], WHOLE % 4), {}), "depth_to_space": ((PICTURE, 2), {}),
    "space_to_depth": ((PICTURE, 2), {}), "band_part": ((X, -1, 0), {}), "matvec": ((X, X[:, 0]), {}),
    "extract_patches": ((PICTURE, [1, 2, 2, 1], [1, 2, 2, 1], [1, 1, 1, 1], "VALID"), {}),
    "resize": ((PICTURE, (7, 6)), {}), "leaky_relu": ((X,), {}), "gelu": ((X,), {"approximate": True}),
}  # fmt: skip
"""by the last part of the name; other functions take X alone"""
OF_OLDER: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    **{n: ((X, POSITIVE), {}) for n in ("equal", "greater", "greater_equal", "less", "less_equal", "maximum", "minimum",
                                        "not_equal")},
    **{n: ((BOOLS,), {"axis": -1}) for n in ("all", "any")}, "log": ((POSITIVE,), {}), "cast": ((X, "int32"), {}),
    "clip": ((X, -0.5, 0.5), {}), "reshape": ((X, (2, 24)), {}), "batch_dot": ((X, X), {"axes": (2, 2)}),
    "bias_add": ((X, X[0, 0]), {}), "concatenate": (([X, POSITIVE],), {}), "dot": ((X, X[0].T), {}),
    "gather": ((X[0], WHOLE % 4), {}), "one_hot": ((WHOLE, 5), {}), "permute_dimensions": ((X, (0, 2, 1)), {}),
    "pow": ((POSITIVE, 2.0), {}), "relu": ((X,), {"max_value": 0.5}), "repeat": ((X[:, 0], 3), {}),
    "repeat_elements": ((X, 2, 1), {}), "reverse": ((X, 1), {}), "squeeze": ((X[:, :1], 1), {}),
    "stack": (([X, X],), {"axis": 1}), "tile": ((X, (1, 2, 1)), {}), "l2_normalize": ((X,), {"axis": -1}),
}  # fmt: skip


def agree(theirs: Callable[..., Any], ours: Callable[..., Any], given: tuple[tuple[Any, ...], dict[str, Any]]) -> None:
    """Both answer the same, and have the same gradient by every float array."""
    args, kwargs = given
    found = []
    for function in (theirs, ours):
        tensors = tf.nest.map_structure(lambda a: tf.constant(a) if isinstance(a, np.ndarray) else a, args)
        watched = [t for t in tf.nest.flatten(tensors) if tf.is_tensor(t) and t.dtype.is_floating]
        with tf.GradientTape() as tape:
            for tensor in watched:
                tape.watch(tensor)
            answers = tf.nest.flatten(function(*tensors, **kwargs))
            floats = [a for a in answers if tf.is_tensor(a) and a.dtype.is_floating]
            total = sum((tf.reduce_sum(tf.sin(a)) for a in floats), tf.zeros(()))
        by = tape.gradient(total, watched, unconnected_gradients="zero")
        found.append(np.concatenate([np.ravel(tf.convert_to_tensor(a)) for a in [*answers, *by]]))
    np.testing.assert_allclose(found[1], found[0], rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", sorted(OF_TENSORFLOW))
def test_a_function_of_tf_is_its_counterpart(name: str) -> None:
    agree(within(tf, name), OF_TENSORFLOW[name], GIVEN.get(name.rpartition(".")[2], ((X,), {})))


@pytest.mark.parametrize("name", sorted(OF_BACKEND))
def test_a_function_of_the_older_backend_is_its_counterpart(name: str) -> None:
    agree(getattr(tf.keras.backend, name), OF_BACKEND[name], OF_OLDER.get(name, ((X,), {})))


@pytest.mark.parametrize("axes", [1, 2, (1, 1), (2, 1), None])
def test_products_of_batches(axes: Any) -> None:
    square = X[:, :, :4]
    agree(tf.keras.backend.batch_dot, OF_BACKEND["batch_dot"], ((square, square), {"axes": axes}))
    if axes in (1, None):
        agree(tf.keras.backend.batch_dot, OF_BACKEND["batch_dot"], ((X[:, 0], X[:, 1]), {"axes": axes}))


def carried(model: Any, path: Path, *example: Any) -> Any:
    source = from_object(model, "net", SourceRef(reference="nets:build"), {}, *example)
    return carry(source, to="pytorch", output=path / "nets.py")


class Attention(L.Layer):
    """Of TensorFlow's own tutorial: sizes, casts and constants in float32."""

    def __init__(self, width: int, heads: int, **options: Any) -> None:
        super().__init__(**options)
        self.heads, self.depth = heads, width // heads
        self.query, self.key, self.value, self.out = (L.Dense(width) for _ in range(4))
        self.scale = tf.constant(0.5)

    def split(self, x: Any, rows: Any) -> Any:
        return tf.transpose(tf.reshape(x, (rows, -1, self.heads, self.depth)), perm=[0, 2, 1, 3])

    @tf.function
    def call(self, x: Any) -> Any:
        rows = tf.shape(x)[0]
        q, k, v = (self.split(one(x), rows) for one in (self.query, self.key, self.value))
        depth = tf.cast(tf.shape(k)[-1], tf.float32)
        weights = tf.nn.softmax(self.scale * tf.matmul(q, k, transpose_b=True) / tf.math.sqrt(depth), axis=-1)
        mixed = tf.transpose(tf.matmul(weights, v), perm=[0, 2, 1, 3])
        return self.out(tf.reshape(mixed, (rows, -1, self.heads * self.depth)))


class Compiled(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.drop, self.head = L.Dense(8, activation=tf.nn.swish), L.Dropout(0.2), L.Dense(2)

    @tf.function
    def call(self, x: Any, training: Any = False) -> Any:
        return self.head(self.drop(tf.nn.relu(self.hidden(x)), training=training))


def test_a_layer_as_tutorials_write_it_is_proven_in_float64(tmp_path: Path) -> None:
    keras.utils.set_random_seed(1)
    x = keras.Input((None, 8))
    h = L.LayerNormalization()(x + L.Dropout(0.1)(Attention(8, 2)(x)))
    found = carried(keras.Model(x, L.Dense(2)(L.GlobalAveragePooling1D()(h))), tmp_path, np.ones((6, 9, 8), np.float32))
    assert all(rung.holds is not False for rung in found.report.rungs)
    assert any("in float64" in rung.detail for rung in found.report.rungs), found.report.rungs


def test_a_tf_function_is_followed_and_its_dropout_measured(tmp_path: Path) -> None:
    keras.utils.set_random_seed(1)
    model = Compiled()
    rows = np.ones((6, 5), np.float32)
    model(rows)
    found = carried(model, tmp_path, rows)
    assert all(rung.holds is not False for rung in found.report.rungs)
    assert "1 dropouts measured" in next(rung for rung in found.report.rungs if rung.name == "training").detail
    with uncompiled(model):
        assert not isinstance(model.call, type(tf.function(len)))
    assert isinstance(model.call, type(tf.function(len)))


class Positions(L.Layer):
    """A constant that is cut as long as what comes in."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        angles = np.arange(30)[:, None] / np.power(10000, 2 * (np.arange(6)[None] // 2) / 6)
        angles[:, 0::2], angles[:, 1::2] = np.sin(angles[:, 0::2]), np.cos(angles[:, 1::2])
        self.table = tf.cast(angles[None], tf.float32)

    def call(self, x: Any) -> Any:
        return x + self.table[:, : tf.shape(x)[1], :]


class Learnt(L.Layer):
    """The same of a weight; and a mean by the length."""

    def build(self, _: Any) -> None:
        self.table = self.add_weight(shape=(30, 6), initializer="glorot_uniform", name="table")

    def call(self, x: Any) -> Any:
        length = keras.ops.shape(x)[1]
        return tf.reduce_sum(x + self.table[:length], axis=1) / tf.cast(tf.shape(x)[1], tf.float32)


class LookingBack(L.Layer):
    def build(self, _: Any) -> None:
        self.query, self.key = L.Dense(6), L.Dense(6)

    def call(self, x: Any) -> Any:
        length = tf.shape(x)[1]
        seen = tf.linalg.band_part(tf.ones((length, length)), -1, 0)
        scores = tf.matmul(self.query(x), self.key(x), transpose_b=True) + (1 - seen) * -1e9
        return tf.matmul(tf.nn.softmax(scores), x)


class Numbered(L.Layer):
    def build(self, _: Any) -> None:
        self.places = L.Embedding(30, 6)

    def call(self, x: Any) -> Any:
        return x + self.places(keras.ops.arange(0, keras.ops.shape(x)[1]))


def test_what_is_as_long_as_a_size_that_varies_follows_it(tmp_path: Path) -> None:
    keras.utils.set_random_seed(1)
    x = keras.Input((None, 6))
    model = keras.Model(x, Learnt()(LookingBack()(Numbered()(Positions()(x)))))
    found = carried(model, tmp_path, np.ones((6, 9, 6), np.float32))
    assert all(rung.holds is not False for rung in found.report.rungs)
    text = (tmp_path / "nets.py").read_text()
    for line in ("self.constant[:, : x.shape[1]]", "self.table[:size_1]", ".sum(dim=1) / size_1",
                 "torch.tril(torch.ones(", "torch.arange(x.shape[1], device=x.device)"):  # fmt: skip
        assert line in text, text


class Said(L.Layer):
    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.function = function

    def call(self, x: Any) -> Any:
        return self.function(x)

    def compute_output_shape(self, shape: Any) -> Any:
        return shape


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x: tf.math.betainc(1.0, 2.0, x), "tf.math.betainc has no correspondence"),
        (lambda x: x + tf.random.normal((6,)), "tf.random.normal draws other numbers with each call"),
        (lambda x: x + tf.zeros((9, 6))[1 : tf.shape(x)[0]], "a cut as long as a size that varies"),
        (lambda x: tf.cumsum(x, exclusive=True), "tf.cumsum that is exclusive or reversed has no correspondence"),
    ],
)
def test_what_cannot_be_followed_is_named_with_its_line(function: Any, said: str, tmp_path: Path) -> None:
    x = keras.Input((6,))
    with pytest.raises(NoCorrespondence) as refused:
        carried(keras.Model(x, Said(function)(L.Dense(6)(x))), tmp_path)
    assert refused.value.what.startswith(said)
    assert str(refused.value.where).startswith("test_tensorflow_functions.py:")
    assert refused.value.hint


class Plain(L.Layer):
    """Its config says no dtype."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.inner = L.Dense(units)

    def build(self, shape: Any) -> None:
        self.inner.build(shape)

    def call(self, x: Any) -> Any:
        return self.inner(x)

    def get_config(self) -> dict[str, Any]:
        return {"units": 3}


def test_layers_without_a_dtype_in_their_config_are_in_float64_too() -> None:
    x = keras.Input((4,))
    with keras.saving.CustomObjectScope({"Plain": Plain}):
        twin = KerasNetwork(
            from_object(keras.Model(x, Plain(3)(x)), "net", SourceRef(reference="nets:build"), {})
        ).in_double()
    assert {layer.compute_dtype for layer in twin._flatten_layers()} == {"float64"}
    assert keras.config.dtype_policy().name == "float32"


def test_what_code_makes_in_float32_is_wide_in_the_twin_alone() -> None:
    layer = Said(lambda x: x * tf.cast(0.1, tf.float32) + tf.ones((6,)))
    layer.held = tf.constant(0.5)
    x = keras.Input((6,))
    model = keras.Model(x, layer(L.Dense(6)(x)))
    with widened(model) as twin:
        assert twin(tf.ones((2, 6), tf.float64)).dtype == tf.float64
        assert layer.held.dtype == tf.float64
    assert layer.held.dtype == tf.float32
    assert tf.ones((6,)).dtype == tf.float32

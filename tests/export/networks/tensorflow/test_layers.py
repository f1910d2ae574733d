"""Layers that tf2onnx lacks or converts wrongly, and models that are called in every usual way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")
pytest.importorskip("tf2onnx")

from keras import layers  # noqa: E402

from onnxpress.core.errors import BadModel, NotEquivalent  # noqa: E402
from onnxpress.core.tensors import parse_spec  # noqa: E402
from onnxpress.export.networks.tensorflow.function import FunctionNetwork  # noqa: E402
from onnxpress.export.networks.tensorflow.keras_model import KerasNetwork  # noqa: E402
from onnxpress.export.source import Source  # noqa: E402
from onnxpress.serving.engine import Engine  # noqa: E402

pytestmark = pytest.mark.tensorflow
rng = np.random.default_rng(0)


def source(model: Any, example: Any = None, inputs: tuple[str, ...] = ()) -> Source:
    specs = [parse_spec(text) for text in inputs] or None
    return Source(
        reference="test", name="m", framework="tensorflow", network=model, example_inputs=example, network_inputs=specs
    )


def functional(shape: tuple[int | None, ...], build: Any, dtype: str = "float32") -> Any:
    given = keras.Input(shape, dtype=dtype, name="x")
    return keras.Model(given, build(given))


def assert_same(made: Any, feeds: dict[str, Any], folder: Path) -> dict[str, Any]:
    wanted = made.run(feeds, "float32")
    answers = Engine.load(made.convert(folder).SerializeToString(), self_test=False).run(feeds)
    assert set(answers) == set(wanted)
    for name, value in wanted.items():
        assert answers[name].shape == value.shape
        if value.dtype.kind in "Ob":
            np.testing.assert_array_equal(answers[name], value)
        else:
            np.testing.assert_allclose(answers[name], value, rtol=1e-5, atol=1e-5)
    return dict(wanted)


FLOATS = np.array([[-2.0, -1.0], [0.0, 0.5], [0.4999, 7.0]], np.float32)
WORDS = np.array([["a", "zz"], ["", "c"]], object)
CODES32 = np.array([[10, 7], [30, -1]], np.int32)
CODES = np.array([[10, 7], [30, -1]])


@pytest.mark.parametrize(
    ("build", "dtype", "rows"),
    [
        (lambda x: layers.Discretization([-1.0, 0.0, 0.5])(x), "float32", FLOATS),
        (lambda x: layers.Discretization([-1.0, 0.0, 0.5], output_mode="multi_hot")(x), "float32", FLOATS),
        (lambda x: layers.IntegerLookup(vocabulary=[10, 20, 30])(x), "int64", CODES),
        (lambda x: layers.IntegerLookup(vocabulary=[10, 20, 30], output_mode="multi_hot")(x), "int32", CODES32),
        (lambda x: layers.IntegerLookup(vocabulary=[7, 30], mask_token=10, output_mode="count")(x), "int64", CODES),
        (lambda x: keras.ops.one_hot(x, 12), "int64", CODES),
        (lambda x: keras.ops.one_hot(x, 12, dtype="int32"), "int32", CODES32),
        (lambda x: layers.StringLookup(vocabulary=["a", "b", "c"], mask_token="")(x), "string", WORDS),
        (lambda x: layers.StringLookup(vocabulary=["a", "b"], invert=True)(x), "int64", np.array([[0, 1], [2, 2]])),
        (lambda x: keras.ops.argmax(x, -1), "float32", np.array([[-0.0, 0.0], [3.0, 1.0]], np.float32)),
        (lambda x: [x, layers.Rescaling(2.0)(x)], "float32", FLOATS),  # an output that is an input
    ],
    ids=[
        "buckets",
        "hot buckets",
        "codes",
        "hot codes",
        "masked codes",
        "hot",
        "hot integers",
        "masked words",
        "words back",
        "argmax",
        "input as output",
    ],
)
def test_layers(build: Any, dtype: str, rows: Any, tmp_path: Path) -> None:
    made = KerasNetwork(source(functional((2,), build, dtype)))
    assert_same(made, {"x": rows}, tmp_path)


def test_bucketize_counts_the_boundaries_that_are_reached(tmp_path: Path) -> None:
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def buckets(x: Any) -> Any:
        return tf.raw_ops.Bucketize(input=x, boundaries=[-1.0, 0.0, 0.1])

    rows = np.array([-1.5, -1.0, 0.0, 0.1, np.nextafter(np.float32(0.1), np.float32(0)), np.inf], np.float32)
    answer = assert_same(FunctionNetwork(source(buckets)), {"x": rows}, tmp_path)
    assert answer["output"].tolist() == [0, 1, 2, 3, 2, 3]


def test_a_layer_over_a_varying_time(tmp_path: Path) -> None:
    model = functional((None, 4, 4, 1), lambda x: layers.TimeDistributed(layers.Conv2D(2, 3))(x))
    made = KerasNetwork(source(model))
    for steps in (1, 5):
        assert_same(made, {"x": rng.normal(size=(2, steps, 4, 4, 1)).astype("f4")}, tmp_path)
    call = layers.TimeDistributed.call
    assert call.__module__.startswith("keras.")  # Keras is as it was


def test_pictures_are_resized_with_antialias(tmp_path: Path) -> None:
    model = functional((8, 9, 2), lambda x: layers.Resizing(5, 12, interpolation="bicubic", antialias=True)(x))
    assert_same(KerasNetwork(source(model)), {"x": rng.normal(size=(3, 8, 9, 2)).astype("f4")}, tmp_path)


def test_pictures_are_resized_in_float64_for_the_truth() -> None:
    made = KerasNetwork(source(functional((5, 7, 2), lambda x: layers.Resizing(9, 4)(x))))
    rows = rng.normal(size=(2, 5, 7, 2))
    narrow, wide = (made.run({"x": rows}, how)[made.output_names[0]] for how in ("float32", "float64"))
    assert wide.dtype == np.float64
    assert 0 < np.abs(narrow - wide).max() < 1e-5


class Pair(keras.Model):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(3)

    def call(self, given: Any) -> Any:
        return self.dense(given["left"]) + given["right"]


@pytest.mark.parametrize("shown", [True, False])
def test_a_subclassed_model_that_takes_a_dict(shown: bool, tmp_path: Path) -> None:
    feeds = {"left": rng.normal(size=(4, 5)).astype("f4"), "right": rng.normal(size=(4, 3)).astype("f4")}
    described = ("left:float32[batch,5]", "right:float32[batch,3]")
    made = KerasNetwork(source(Pair(), feeds) if shown else source(Pair(), inputs=described))
    assert_same(made, feeds, tmp_path)


def test_a_function_that_takes_a_dict(tmp_path: Path) -> None:
    @tf.function
    def both(given: Any) -> Any:
        return {"sum": given["a"] + given["b"], "a": given["a"]}

    feeds = {name: rng.normal(size=(3, 2)).astype("f4") for name in ("a", "b")}
    made = FunctionNetwork(source(both, feeds))
    assert made.output_names == ["sum", "a_out"]
    assert_same(made, feeds, tmp_path)


def test_arguments_of_a_function_keep_their_names(tmp_path: Path) -> None:
    @tf.function
    def difference(left: Any, right: Any) -> Any:
        return left - 2 * right

    rows = rng.normal(size=(3, 2)).astype("f4")
    made = FunctionNetwork(source(difference, (rows, rows)))
    assert [spec.name for spec in made.inputs] == ["left", "right"]
    assert_same(made, {"left": rows, "right": rows[::-1]}, tmp_path)


def test_a_declared_fixed_batch_is_refused() -> None:
    @tf.function(input_signature=[tf.TensorSpec([1, 3], tf.float32)])
    def twice(x: Any) -> Any:
        return x * 2

    with pytest.raises(NotEquivalent, match=r"declared with a fixed batch: \[1, 3\]"):
        FunctionNetwork(source(twice))


def test_a_stateful_layer_is_named() -> None:
    model = keras.Sequential([keras.Input(batch_shape=(2, 5, 3)), layers.LSTM(4, stateful=True, name="memory")])
    with pytest.raises(NotEquivalent, match="'memory' is stateful") as told:
        KerasNetwork(source(model))
    assert "stateful=False" in str(told.value)


def test_whole_numbers_that_are_resized_are_told_with_the_way_out(tmp_path: Path) -> None:
    model = functional((4, 6, 1), lambda x: layers.Resizing(3, 5, name="smaller")(x), "uint8")
    with pytest.raises(BadModel, match="the layer 'smaller' resizes uint8") as told:
        KerasNetwork(source(model))
    assert "Rescaling" in str(told.value)
    rows = rng.integers(0, 256, (2, 4, 6, 1)).astype(np.uint8)
    assert not np.array_equal(model(rows), model.predict(rows, verbose=0)), "Keras 3.15 answers in two ways"
    scaled = functional((4, 6, 1), lambda x: layers.Resizing(3, 5)(layers.Rescaling(1 / 255)(x)), "uint8")
    answers = assert_same(KerasNetwork(source(scaled)), {"x": rows}, tmp_path)
    np.testing.assert_allclose(next(iter(answers.values())), scaled.predict(rows, verbose=0), atol=1e-6)
    nearest = functional((4, 6, 1), lambda x: layers.Resizing(3, 5, interpolation="nearest")(x), "uint8")
    assert KerasNetwork(source(nearest)).inputs[0].dtype == "uint8"


@pytest.mark.parametrize(
    ("build", "way_out"),
    [
        (lambda x: layers.Hashing(8)(x), "no such hash"),
        (lambda x: layers.TextVectorization(vocabulary=["a"])(x), "step `words`"),
    ],
    ids=["hash", "text"],
)
def test_the_way_out_is_told(build: Any, way_out: str, tmp_path: Path) -> None:
    made = KerasNetwork(source(functional((1,), build, "string")))
    with pytest.raises(BadModel, match="no conversion for an operation") as told:
        made.convert(tmp_path)
    assert way_out in str(told.value)

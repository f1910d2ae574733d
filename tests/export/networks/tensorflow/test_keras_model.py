"""What a user's Keras model may be, and what is refused: through the stage, as `onnxpress export` runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("tf2onnx")
import keras

from onnxpress.core.errors import NotEquivalent
from onnxpress.export.pipeline.export import export
from onnxpress.export.source import Source
from onnxpress.serving.engine import Engine

pytestmark = pytest.mark.tensorflow


def source(model: Any, **settings: Any) -> Source:
    return Source(reference="test", name="m", framework="tensorflow", network=model, **settings)


def functional() -> Any:
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((6,), name="features")
    x = keras.layers.Dense(8, activation="relu", name="encoder")(x)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Dropout(0.5, name="drop")(x)
    return keras.Model(inputs, keras.layers.Dense(3, name="logits")(x))


def test_a_functional_model(tmp_path: Path) -> None:
    model = functional()
    published = export(source(model), repository=tmp_path)
    assert published.report.equivalent
    assert published.report.floor == "float64"
    assert published.manifest.batch_safe
    assert [str(spec) for spec in published.manifest.inputs] == ["features:float32[batch,6]"]
    assert [str(spec) for spec in published.manifest.outputs] == ["logits:float32[batch,3]"]
    engine = Engine.load(published.folder / "model.onnx")
    x = np.random.default_rng(0).standard_normal((5, 6)).astype(np.float32)
    np.testing.assert_allclose(engine.run({"features": x})["logits"], model(x, training=False), rtol=1e-4, atol=1e-5)


def test_a_sequential_model(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4, name="a"), keras.layers.Dense(2, name="b")])
    assert export(source(model), repository=tmp_path).report.equivalent


def test_several_inputs_and_outputs_keep_their_names_and_order(tmp_path: Path) -> None:
    left, right = keras.Input((3,), name="left"), keras.Input((3,), name="right")
    difference = keras.layers.Subtract(name="difference")([left, right])
    model = keras.Model([right, left], [difference, keras.layers.Add(name="total")([left, right])])
    published = export(source(model), repository=tmp_path)
    assert [spec.name for spec in published.manifest.inputs] == ["right", "left"]
    engine = Engine.load(published.folder / "model.onnx")
    feeds = {"left": np.full((2, 3), 5, np.float32), "right": np.full((2, 3), 2, np.float32)}
    answers = {spec.name: engine.run(feeds)[spec.name][0, 0] for spec in published.manifest.outputs}
    assert list(answers.values()) == [3.0, 7.0]


def test_a_fixed_batch_is_refused(tmp_path: Path) -> None:
    inputs = keras.Input(batch_shape=(4, 6), name="features")
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    with pytest.raises(NotEquivalent, match="fixed batch of 4"):
        export(source(model), repository=tmp_path)
    assert not (tmp_path / "m").exists()


def test_randomness_at_inference_is_refused_and_named(tmp_path: Path) -> None:
    class Jitter(keras.layers.Layer):
        def call(self, x):
            return x + keras.random.normal(keras.ops.shape(x), seed=self.seed)

        def build(self, _shape):
            self.seed = keras.random.SeedGenerator(1)

    inputs = keras.Input((6,), name="features")
    noisy = Jitter(name="noisy")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2, name="logits")(noisy))
    with pytest.raises(NotEquivalent, match=r"random.*noisy"):
        export(source(model), repository=tmp_path)
    assert not (tmp_path / "m").exists()


def test_a_model_trained_by_default_is_measured_in_inference_mode(tmp_path: Path) -> None:
    model = functional()
    model(np.random.default_rng(0).standard_normal((64, 6)).astype(np.float32), training=True)
    before = [weight.copy() for weight in model.get_weights()]
    assert export(source(model), repository=tmp_path).report.equivalent
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_the_same_source_gives_the_same_bytes(tmp_path: Path) -> None:
    model = functional()
    first = export(source(model), repository=tmp_path)
    second = export(source(model), repository=tmp_path)
    assert (first.folder / "model.onnx").read_bytes() == (second.folder / "model.onnx").read_bytes()

"""Names stay beside their values: what the model's own call returns under a key is what the export answers under it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("tf2onnx")
import keras
import tensorflow as tf
from click.testing import CliRunner

from onnxpress.core.errors import BadModel, UsageError
from onnxpress.export.cli import export as export_command
from onnxpress.export.network import Network
from onnxpress.export.networks.wrap import wrap
from onnxpress.export.source import Source, SourceRef
from onnxpress.export.sources.resolve import resolve
from onnxpress.serving.engine import Engine

pytestmark = pytest.mark.tensorflow

FEEDS = {"left": np.full((2, 3), 5, np.float32), "right": np.full((2, 3), 2, np.float32)}


def network(model: Any, **settings: Any) -> Network:
    return wrap(Source(reference="test", name="m", framework="tensorflow", network=model, **settings))


def answers(made: Network, feeds: dict[str, Any], folder: Path) -> dict[str, float]:
    """The first value of each output of the converted graph, by name; the reference must say the same."""
    engine = Engine.load(made.convert(folder).SerializeToString(), self_test=False)
    got = {name: float(np.ravel(value)[0]) for name, value in engine.run(feeds).items()}
    assert got == {name: float(np.ravel(value)[0]) for name, value in made.run(feeds, "float32").items()}
    return got


@pytest.mark.parametrize("layer", ["same", "other"])
def test_outputs_of_a_dict_are_named_by_its_keys(layer: str, tmp_path: Path) -> None:
    left, right = keras.Input((3,), name="left"), keras.Input((3,), name="right")
    names = ("total", "difference") if layer == "same" else ("difference", "a")
    total = keras.layers.Add(name=names[0])([left, right])
    difference = keras.layers.Subtract(name=names[1])([left, right])
    model = keras.Model([left, right], {"total": total, "difference": difference})
    assert answers(network(model), FEEDS, tmp_path) == {"total": 7.0, "difference": 3.0}


def test_outputs_inside_outputs_are_named_by_their_path(tmp_path: Path) -> None:
    left, right = keras.Input((3,), name="left"), keras.Input((3,), name="right")
    both = {"z": [left + right, left - right], "a": right * 2}
    assert answers(network(keras.Model([left, right], both)), FEEDS, tmp_path) == {"z.0": 7.0, "z.1": 3.0, "a": 4.0}


def test_inputs_of_a_dict_are_named_by_its_keys_and_may_be_described_in_any_order(tmp_path: Path) -> None:
    right, left = keras.Input((3,), name="right"), keras.Input((3,), name="left")
    model = keras.Model({"right": right, "left": left}, left - right)
    assert sorted(spec.name for spec in network(model).inputs) == ["left", "right"]
    for order in (["left", "right"], ["right", "left"]):
        described = SourceRef(reference="", inputs=[f"{name}:float32[batch,3]" for name in order]).input_specs
        assert set(answers(network(model, network_inputs=described), FEEDS, tmp_path).values()) == {3.0}


def test_a_subclassed_model_takes_its_dict(tmp_path: Path) -> None:
    class Takes(keras.Model):
        def call(self, rows):
            return {"total": rows["left"] + rows["right"][:, :1], "difference": rows["left"] - rows["right"][:, :1]}

    feeds = {"left": FEEDS["left"], "right": np.full((2, 5), 2, np.float32)}
    made = network(Takes(), example_inputs=feeds)
    assert answers(made, feeds, tmp_path) == {"total": 7.0, "difference": 3.0}


def test_a_subclassed_model_takes_several_arguments(tmp_path: Path) -> None:
    class Takes(keras.Model):
        def call(self, left, right):
            return left - right

    assert answers(network(Takes(), example_inputs=FEEDS), FEEDS, tmp_path) == {"output": 3.0}


class Signed(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None, 3], name="left"), tf.TensorSpec([None, 3], name="right")])
    def __call__(self, left, right):
        return {"total": left + right, "difference": left - right}


def test_a_tf_module_is_called(tmp_path: Path) -> None:
    assert answers(network(Signed()), FEEDS, tmp_path) == {"total": 7.0, "difference": 3.0}


def test_a_tf_module_that_cannot_be_called_says_so() -> None:
    with pytest.raises(BadModel, match="Module has no __call__"):
        network(tf.Module())


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "m"
    module = tf.Module()
    module.add = tf.function(lambda x: {"sum": x + 1}, input_signature=[tf.TensorSpec([None, 3], name="x")])
    module.double = tf.function(lambda x: {"twice": x * 2}, input_signature=[tf.TensorSpec([None, 3], name="x")])
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.add, "double": module.double})
    return folder


def test_one_of_several_signatures_is_asked_for(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        wrap(resolve(str(saved)))
    assert "serving_default(x) -> sum" in str(raised.value)
    assert "double(x) -> twice" in str(raised.value)
    with pytest.raises(UsageError, match="no signature 'other'"):
        wrap(resolve(SourceRef(reference=str(saved), signature="other")))
    made = wrap(resolve(SourceRef(reference=str(saved), signature="double")))
    assert answers(made, {"x": FEEDS["left"]}, tmp_path) == {"twice": 10.0}


def test_the_command_takes_a_signature(saved: Path, tmp_path: Path) -> None:
    said = CliRunner().invoke(export_command, [str(saved), "--repository", str(tmp_path)])
    assert isinstance(said.exception, UsageError)
    assert "--signature serving_default" in str(said.exception)


def test_the_two_names_of_what_keras_exports_are_one(tmp_path: Path) -> None:
    x = keras.Input((3,), name="x")
    keras.Model(x, x * 2.0).export(str(tmp_path / "m"), verbose=False)
    assert [spec.name for spec in wrap(resolve(str(tmp_path / "m"))).inputs] == ["x"]

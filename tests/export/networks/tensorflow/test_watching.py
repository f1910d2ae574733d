"""What a Keras model computes on the way is shown, and Keras is as it was afterwards."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")
pytest.importorskip("tensorflow")

from onnxpress.export.network import Seen  # noqa: E402
from onnxpress.export.networks.tensorflow.watching import names, watching  # noqa: E402

pytestmark = pytest.mark.tensorflow


def shown(model: Any, x: np.ndarray) -> list[Seen]:
    seen: list[Seen] = []
    with watching(model, seen.append):
        model(x, training=False)
    return seen


def test_every_layer_and_operation_is_shown_in_order() -> None:
    x = keras.Input((3,), name="x")
    inner = keras.Sequential([keras.layers.Dense(4, name="deep")], name="inner")
    model = keras.Model(x, keras.ops.relu(inner(x)) + 1.0, name="whole")
    seen = shown(model, np.ones((2, 3), np.float32))
    layers = [(one.layer, one.kind) for one in seen]
    assert (
        layers.index(("deep", "Dense")) < layers.index(("inner", "Sequential")) < layers.index(("whole", "Functional"))
    )
    assert [one.operation for one in seen if one.operation] == ["Relu", "Add"]
    deep = next(one for one in seen if one.layer == "deep")
    assert deep.value.shape == (2, 4)
    assert deep.inputs
    assert {"deep", "inner", "whole"} <= names(model)


def test_the_steps_of_a_recurrent_layer_are_not_shown() -> None:
    model = keras.Sequential([keras.Input((5, 3)), keras.layers.LSTM(4, name="memory")])
    seen = shown(model, np.ones((2, 5, 3), np.float32))
    assert [one.value.shape for one in seen if one.layer == "memory"] == [(2, 4)]
    assert not [one for one in seen if one.kind == "LSTMCell"]


def test_keras_is_as_it_was_also_where_the_model_fails() -> None:
    before = keras.Operation.__call__
    with pytest.raises(RuntimeError), watching(keras.Sequential([keras.layers.Dense(2)]), lambda seen: None):
        raise RuntimeError
    assert keras.Operation.__call__ is before

"""What rung 1 asks of a Keras model on rows that show no noise, and where scores tie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from onnxpress.export.port.keras_draft import KerasDraft
from onnxpress.export.port.proof.keras_asked import NearKeras
from onnxpress.export.port.proof.rung import Rung
from onnxpress.export.source import SourceRef
from onnxpress.export.sources.resolve import from_object

pytestmark = [pytest.mark.torch, pytest.mark.tensorflow]
L = keras.layers


def draft_of(model: Any) -> KerasDraft:
    return KerasDraft(from_object(model, "net", SourceRef(reference="nets:build"), {}), "nets.safetensors")


def answers(draft: KerasDraft, text: str, folder: Path) -> Rung:
    written = folder / "nets.py"
    written.write_text(text)
    return draft.answers(draft.target(written))


def film() -> Any:
    """TensorFlow pools films in float32 alone, so there is no float64; zeros in, and all rows are one."""
    keras.utils.set_random_seed(1)
    generator = np.random.default_rng(1)
    x = keras.Input((6, 10, 10, 1))
    h = L.MaxPool3D(2)(L.Conv3D(4, 3, activation="relu", padding="same")(x))
    h = L.GlobalAveragePooling3D()(L.BatchNormalization(name="norm")(h))
    model = keras.Model(x, L.Dense(2, name="head")(h))
    for weight in model.weights:
        if "kernel" not in weight.name:
            value = generator.normal(size=weight.shape)
            weight.assign(np.abs(value) if "moving" in weight.name else value)
    return model


def test_rows_without_noise_are_held_against_what_a_rounding_of_the_weights_comes_to(tmp_path: Path) -> None:
    draft = draft_of(film())
    found = answers(draft, draft.code.text, tmp_path)
    assert found.holds is True, found
    for right, wrong in (
        ("eps=0.001", "eps=0.00101"),
        ("nn.MaxPool3d(2)", "nn.AvgPool3d(2)"),
        ("padding=1", "padding=(1, 1, 0)"),
    ):
        assert right in draft.code.text
        assert answers(draft, draft.code.text.replace(right, wrong), tmp_path).holds is False, wrong


def test_a_weight_that_is_a_little_wrong_is_caught(tmp_path: Path) -> None:
    """By a hundred units in the last place: ten times what the floor may be."""
    draft = draft_of(film())
    draft.state["head.bias"] = draft.state["head.bias"] * np.float32(1 + 1e-4)
    assert answers(draft, draft.code.text, tmp_path).holds is False


def test_the_weights_move_by_one_unit_and_are_back_afterwards() -> None:
    draft = draft_of(film())
    before = [np.asarray(weight).copy() for weight in draft.model.weights]
    seen: list[list[Any]] = []

    class Network:
        def forget_float64(self) -> None: ...
        def run(self, feeds: Any, precision: Any) -> dict[str, Any]:
            seen.append([np.asarray(weight).copy() for weight in draft.model.weights])
            return {}

    NearKeras(Network(), draft.model).run({}, "float32")
    assert all(np.array_equal(now, value) for now, value in zip(draft.model.weights, before, strict=True))
    for moved, value in zip(seen[0], before, strict=True):
        assert np.all(
            (moved == np.nextafter(value, np.float32(np.inf))) | (moved == np.nextafter(value, -np.float32(np.inf)))
        )


def test_of_equal_scores_the_first_is_chosen_as_keras_does(tmp_path: Path) -> None:
    """Zeros in, and all scores are equal; torch's topk takes any of them."""
    x = keras.Input((6,))
    best, places = ops.top_k(L.Dense(8, name="scores")(x), 3)
    draft = draft_of(keras.Model(x, {"best": best, "places": places}))
    assert answers(draft, draft.code.text, tmp_path).holds is True
    wrong = draft.code.text.replace("sort(dim=-1, descending=True, stable=True)", "topk(8)")
    assert wrong != draft.code.text
    assert answers(draft, wrong, tmp_path).holds is False

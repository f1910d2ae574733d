"""Regularisers and constraints of a Keras model that is written in torch: two functions, and what proves them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import pytest
import torch
from tests.export.port.formatting import assert_formatted

from onnxpress.export.port.keras_draft import KerasDraft
from onnxpress.export.port.proof.keras_training import training
from onnxpress.export.port.proof.rung import Rung
from onnxpress.export.source import SourceRef
from onnxpress.export.sources.resolve import from_object

pytestmark = [pytest.mark.torch, pytest.mark.tensorflow]
L, R, C = keras.layers, keras.regularizers, keras.constraints


def many() -> Any:
    """Each kind of factor, on kernels in other layouts, on biases of zeros, on gates, and on a layer that is frozen."""
    x = keras.Input((12, 4), name="x")
    h = L.Conv1D(6, 3, kernel_regularizer=R.L2(1e-3), bias_regularizer=R.L1(1e-2), name="conv")(x)
    h = L.BatchNormalization(gamma_regularizer=R.L2(1e-3), name="norm")(h)
    h = L.Conv1D(6, 3, kernel_regularizer=R.L2(0.5), trainable=False, name="still")(h)
    cell = L.GRU(5, kernel_regularizer=R.L1L2(1e-4, 1e-3), bias_regularizer=R.L2(1e-3), name="gru")
    h = L.Bidirectional(cell, name="both")(h)
    return keras.Model(x, L.Dense(2, kernel_regularizer=R.OrthogonalRegularizer(0.1), name="head")(h))


def tied() -> Any:
    x = keras.Input((5,), dtype="int32", name="x")
    table = L.Embedding(9, 6, embeddings_regularizer="l2", name="table")
    h = L.Dense(6, name="mixed")(table(x))
    return keras.Model(x, keras.ops.matmul(h, keras.ops.transpose(table.embeddings)))


def draft_of(model: Any) -> KerasDraft:
    keras.utils.set_random_seed(3)
    return KerasDraft(from_object(model, "net", SourceRef(reference="nets:build"), {}), "nets.safetensors")


@pytest.fixture(scope="module")
def draft() -> KerasDraft:
    return draft_of(many())


def rungs_of(draft: KerasDraft, text: str, path: Path) -> dict[str, Rung]:
    path.write_text(text)
    return {rung.name: rung for rung in draft.rungs(draft.target(path))}


def fourth_rung(draft: KerasDraft, text: str, path: Path) -> Rung:
    path.write_text(text)
    with draft.sides(draft.target(path)) as sides:
        return training(sides)


def assert_caught(draft: KerasDraft, text: str, said: str, path: Path) -> None:
    found = fourth_rung(draft, text, path)
    assert found.holds is False
    assert said in found.detail


def built(path: Path, draft: KerasDraft) -> tuple[Any, Any]:
    """The trained model of the written module, and the module."""
    spec = importlib.util.spec_from_file_location("nets", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.build()
    model.load_state_dict(draft.state)
    return model, module


@pytest.mark.parametrize("make", [many, tied])
def test_it_adds_what_keras_adds(make: Callable[[], Any], tmp_path: Path) -> None:
    draft = draft_of(make())
    path = tmp_path / "nets.py"
    rungs = rungs_of(draft, draft.code.text, path)
    assert [name for name, rung in rungs.items() if not rung.holds] == []
    model, module = built(path, draft)
    head = [layer for layer in draft.model.layers if layer.name == "head"]
    wanted = sum(map(float, draft.model.losses)) - sum(float(loss) for layer in head for loss in layer.losses)
    assert float(module.penalty(model).detach()) == pytest.approx(wanted, rel=1e-5)


def test_what_sums_over_parameters_cannot_say_is_named(draft: KerasDraft) -> None:
    told = [line for line in draft.translated.differences if "adds" in line]
    assert len(told) == 1
    assert told[0].startswith("head/kernel: Keras adds OrthogonalRegularizer(")
    assert "still" not in draft.code.text.partition("def penalty")[2]


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("def penalty(", "def _penalty(", "has no penalty(model)"),
        ("model.conv.bias.abs()", "model.conv.bias.square()", "for conv.bias"),
        ("0.01 * model.conv.bias", "0.02 * model.conv.bias", "for conv.bias"),
        ("return loss", "return loss + model.head.weight.square().sum()", "for head.weight"),
        ("return loss", "return loss + 1", "to the loss, and the source's"),
        ("return loss", "return loss.detach()", "another than"),
    ],
)
def test_another_penalty_is_caught(draft: KerasDraft, tmp_path: Path, right: str, wrong: str, said: str) -> None:
    start = draft.code.text.index("def penalty(")
    head, penalty = draft.code.text[:start], draft.code.text[start:]
    assert right in penalty
    assert_caught(draft, head + penalty.replace(right, wrong), said, tmp_path / "nets.py")


def bounded() -> Any:
    """Each kind of constraint, over axes that lie elsewhere in torch, and one of the author's own."""
    x = keras.Input((16, 8, 2), name="x")
    h = L.Conv2D(4, (3, 5), padding="same", kernel_constraint=C.UnitNorm(axis=[0, 1, 2]), name="conv")(x)
    h = L.DepthwiseConv2D((16, 1), depth_multiplier=2, depthwise_constraint=C.MaxNorm(1.0), name="depth")(h)
    h = L.BatchNormalization(gamma_constraint="non_neg", name="norm")(h)
    h = L.LSTM(3, recurrent_constraint=C.MinMaxNorm(0.5, 2.0, rate=0.5), name="lstm")(L.Reshape((8, 8))(h))
    h = L.Dense(6, kernel_constraint=half, kernel_regularizer="l1", name="own")(h)
    return keras.Model(x, L.Dense(2, kernel_constraint=C.MaxNorm(0.25), name="head")(h))


def half(weight: Any) -> Any:
    return weight / 2


@pytest.fixture(scope="module")
def kept() -> KerasDraft:
    return draft_of(bounded())


def test_constraints_are_written(kept: KerasDraft, tmp_path: Path) -> None:
    path = tmp_path / "nets.py"
    rungs = rungs_of(kept, kept.code.text, path)
    assert [name for name, rung in rungs.items() if not rung.holds] == []
    told = [line for line in kept.translated.differences if "within" in line]
    assert len(told) == 1
    assert told[0].startswith("own/kernel: ")
    assert_formatted(path)
    model, module = built(path, kept)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(20)
    module.constrain(model)
    assert float(model.head.weight.detach().norm(dim=1).max()) == pytest.approx(0.25, rel=1e-4)
    assert float(model.conv.weight.detach().flatten(1).norm(dim=1).min()) == pytest.approx(1.0, rel=1e-4)


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("def constrain(", "def _constrain(", "has no constrain(model)"),
        ("max=0.25", "max=0.3", "of head.weight"),
        ("dim=2", "dim=0", "of depth.weight"),
        ("clamp_(min=0)", "abs_()", "of norm.weight"),
        ("min=0.5, ", "", "of lstm.weight_hh_l0"),
        ("dim=(1, 2, 3)", "dim=(2, 3), keepdim=True).norm(dim=0", "of conv.weight"),
        ("    with torch.no_grad():\n", "    with torch.no_grad():\n        model.own.weight /= 2\n", "of own.weight"),
    ],
)
def test_other_bounds_are_caught(kept: KerasDraft, tmp_path: Path, right: str, wrong: str, said: str) -> None:
    assert right in kept.code.text
    assert_caught(kept, kept.code.text.replace(right, wrong), said, tmp_path / "nets.py")


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize(("make", "layer"), [(many, "head"), (bounded, "own")])
def test_one_that_is_neither_written_nor_named_is_caught(make: Any, layer: str, named: bool, tmp_path: Path) -> None:
    silent = draft_of(make())
    silent.translated = replace(silent.translated, **({"left": frozenset()} if named else {"differences": []}))
    found = rungs_of(silent, silent.code.text, tmp_path / "nets.py")["training" if named else "parameters"]
    assert found.holds is False
    assert layer in found.detail


class OfItsOwn(keras.Model):
    """Its layers have the names that the session counts, which are others in a twin of it."""

    def __init__(self) -> None:
        super().__init__()
        self.one = L.Dense(4, activity_regularizer="l2", kernel_regularizer=R.OrthogonalRegularizer(0.1))
        self.other = L.Dense(2, kernel_constraint=half, activity_regularizer="l1")

    def call(self, x: Any) -> Any:
        return self.other(keras.ops.relu(self.one(x)))


def test_names_that_a_twin_has_otherwise_are_known(tmp_path: Path) -> None:
    model = OfItsOwn()
    source = from_object(model, "net", SourceRef(reference="nets:build"), {}, keras.ops.ones((3, 5)))
    draft = KerasDraft(source, "nets.safetensors")
    assert [
        name for name, rung in rungs_of(draft, draft.code.text, tmp_path / "nets.py").items() if not rung.holds
    ] == []


def test_a_penalty_of_answers_is_named(tmp_path: Path) -> None:
    x = keras.Input((4,), name="x")
    draft = draft_of(keras.Model(x, L.Dense(2, activity_regularizer="l2", name="fc")(x)))
    assert fourth_rung(draft, draft.code.text, tmp_path / "nets.py").holds
    draft.translated = replace(draft.translated, differences=[])
    found = fourth_rung(draft, draft.code.text, tmp_path / "nets.py")
    assert found.holds is False
    assert "fc adds a penalty of its answers" in found.detail

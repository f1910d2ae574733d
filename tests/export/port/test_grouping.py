"""Blocks that a functional model's names tell are classes of the written module; where they are none it stays flat."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import pytest
from tests.export.port.formatting import assert_formatted
from tests.export.port.test_from_keras import source_of

from onnxpress.export.port.keras_draft import KerasDraft

pytestmark = [pytest.mark.torch, pytest.mark.tensorflow]
L = keras.layers


def _residual(x: Any, filters: int, name: str, stride: int = 1) -> Any:
    """As keras.applications has it: a shortcut with its own convolution where there are strides."""
    shortcut = x
    if stride > 1:
        shortcut = L.Conv1D(filters, 1, strides=stride, name=f"{name}_0_conv")(x)
        shortcut = L.BatchNormalization(name=f"{name}_0_bn")(shortcut)
    x = L.Conv1D(filters, 1, strides=stride, name=f"{name}_1_conv")(x)
    x = L.BatchNormalization(name=f"{name}_1_bn")(x)
    x = L.Activation("relu", name=f"{name}_1_relu")(x)
    x = L.Conv1D(filters, 3, padding="same", name=f"{name}_2_conv")(x)
    x = L.Add(name=f"{name}_add")([shortcut, x])
    return L.Activation("relu", name=f"{name}_out")(x)


def residual() -> Any:
    inputs = keras.Input((16, 4), name="x")
    x = _residual(inputs, 4, "stage1_block1")
    x = _residual(x, 4, "stage1_block2")
    x = _residual(x, 8, "stage2_block1", stride=2)
    x = _residual(x, 8, "stage2_block2")
    return keras.Model(inputs, L.Dense(2, name="head")(L.GlobalAveragePooling1D()(x)), name="net")


def _draft(model: Any, tmp_path: Path) -> KerasDraft:
    draft = KerasDraft(source_of(model), "nets.safetensors")
    (tmp_path / "nets.py").write_text(draft.code.text)
    rungs = list(draft.rungs(draft.target(tmp_path / "nets.py")))
    assert all(rung.holds for rung in rungs), rungs
    assert_formatted(tmp_path / "nets.py")
    return draft


def test_blocks_of_one_kind_are_objects_of_one_class(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    draft = _draft(residual(), tmp_path)
    text = draft.code.text
    assert text.count("class StageBlock") == 1
    assert "        self.stage2_block1 = StageBlock(4, 8, stride=2, with_conv_0=True)" in text
    assert "        self.stage2_block2 = StageBlock(8, 8)" in text
    assert "stage2_block1.conv_0.weight" in draft.state
    assert "stage1_block1.bn_1.running_var" in draft.state
    assert "self.stage1_block2(self.stage1_block1(x))" in text


def test_the_names_of_the_source_are_told(tmp_path: Path) -> None:
    assert "`stage1_block1_1_conv` of Keras is `stage1_block1.conv_1` here" in " ".join(
        _draft(residual(), tmp_path).code.text.split()
    )


def _chain(x: Any, name: str, shared: Any = None) -> Any:
    for number in range(3):
        x = L.Dense(4, activation="relu", name=f"{name}_fc_{number}")(x)
        x = L.LayerNormalization(name=f"{name}_norm_{number}")(x)
    return shared(x) if shared is not None else x


def test_two_answers_of_what_is_named_as_one_stay_in_the_model(tmp_path: Path) -> None:
    x = keras.Input((4,), name="x")
    first = _chain(x, "block_1")
    between = _chain(first, "block_2")
    again = keras.Model(x, between).get_layer("block_2_fc_1").output
    text = _draft(keras.Model(x, L.Concatenate()([between, again]), name="net"), tmp_path).code.text
    assert "self.block_2_fc_1 = nn.Linear(4, 4)" in text
    assert "class Block" not in text


def test_a_layer_that_two_blocks_call_stays_in_the_model(tmp_path: Path) -> None:
    x = keras.Input((4,), name="x")
    shared = L.Dense(4, name="block_1_shared")
    y = _chain(_chain(_chain(x, "block_1", shared), "block_2", shared), "block_3")
    text = _draft(keras.Model(x, y, name="net"), tmp_path).code.text
    assert "self.block_1_shared = nn.Linear(4, 4)" in text
    assert "self.block_2 = Block()" in text


def test_a_dropout_and_a_frozen_layer_within_blocks_are_kept(tmp_path: Path) -> None:
    x = y = keras.Input((4,), name="x")
    for number in range(3):
        y = L.Dense(4, name=f"part{number}_fc", trainable=number != 1)(y)
        y = L.Dropout((0.1, 0.2, 0.3)[number], name=f"part{number}_drop")(y)
        y = L.Dense(4, activation="tanh", name=f"part{number}_out")(y)
        y = L.LayerNormalization(name=f"part{number}_norm")(y)
    text = _draft(keras.Model(x, y, name="net"), tmp_path).code.text
    assert "self.part2 = Part(0.3)" in text
    assert "self.part1 = Part2()" in text
    assert text.count("self.fc.requires_grad_(False)") == 1

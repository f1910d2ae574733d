"""Written layers begin as torch's do, from the shapes that they are built with; a layer begun so is its own kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import torch
from tests.export.port.test_carrying import source_of as torch_source
from tests.export.port.test_from_keras import source_of
from torch import nn

from onnxpress.export.port.draft import Draft
from onnxpress.export.port.keras_draft import KerasDraft
from onnxpress.export.port.proof.building import built
from onnxpress.export.port.refusal import NoCorrespondence

pytestmark = [pytest.mark.torch, pytest.mark.tensorflow]

LAYERS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "dense": (nn.Linear(7, 400), (2, 7)),
    "convolution": (nn.Conv2d(6, 64, (3, 5)), (2, 6, 9, 9)),
    "groups": (nn.Conv1d(8, 64, 3, groups=2), (2, 8, 9)),
    "transposed": (nn.ConvTranspose2d(12, 8, 4, stride=2), (2, 12, 5, 5)),
    "depthwise": (nn.Conv2d(48, 96, 3, groups=48), (2, 48, 6, 6)),
    "recurrent": (nn.GRU(5, 40, batch_first=True), (2, 6, 5)),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_kernel_and_bias_begin_within_torch_s_bound(kind: str, tmp_path: Path) -> None:
    layer, shape = LAYERS[kind]
    draft = Draft(torch_source(layer, (torch.randn(shape),)), "nets.weights.h5")
    (tmp_path / "nets.py").write_text(draft.code.text)
    keras.utils.set_random_seed(0)
    model: Any = built(tmp_path / "nets.py", f"first_{kind}")
    bound = max(float(value.detach().abs().max()) for value in layer.parameters())
    for weight in model.trainable_weights:
        largest = float(np.abs(np.asarray(weight)).max())
        assert 0.85 * bound < largest < 1.15 * bound, weight.path


def test_a_written_sequence_is_saved_and_loaded_whole(tmp_path: Path) -> None:
    draft = Draft(torch_source(nn.Sequential(nn.Linear(4, 3), nn.ReLU()), (torch.randn(2, 4),)), "nets.weights.h5")
    (tmp_path / "nets.py").write_text(draft.code.text)
    model: Any = built(tmp_path / "nets.py", "saved_sequence")
    model.save(tmp_path / "nets.keras")
    again: Any = keras.models.load_model(tmp_path / "nets.keras")
    x = np.ones((2, 4), np.float32)
    assert np.array_equal(model(x), again(x))


class Begun(keras.layers.Dense):
    """Begins otherwise, and computes the same."""

    def build(self, input_shape: Any) -> None:
        self.kernel_initializer = keras.initializers.RandomUniform(-0.25, 0.25)
        super().build(input_shape)


class Doubled(keras.layers.Dense):
    """Its call is its own."""

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)

    def call(self, inputs: Any, training: Any = None) -> Any:
        return 2 * super().call(inputs)


class Fixed(keras.layers.Dense):
    """What its call reads is no weight."""

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        self._kernel = keras.ops.convert_to_tensor(np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3))


class Bounded(keras.layers.Conv1D):
    """Its convolution is its own."""

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        return super().convolution_op(inputs, keras.ops.tanh(kernel))


@pytest.mark.parametrize(
    ("layer", "shape", "said", "unsaid"),
    [
        (Begun(3, name="a"), (4,), "self.a = nn.Linear(4, 3)", "class Begun"),
        (Doubled(3, name="a"), (4,), "class Doubled(nn.Module)", "nn.Linear"),
        (Fixed(3, name="a"), (4,), "class Fixed(nn.Module)", "nn.Linear"),
    ],
    ids=["begun", "called", "fixed"],
)
def test_a_layer_that_only_begins_otherwise_is_torch_s_layer(
    layer: Any, shape: tuple[int, ...], said: str, unsaid: str, tmp_path: Path
) -> None:
    x = keras.Input(shape)
    draft = KerasDraft(source_of(keras.Model(x, layer(x))), "nets.safetensors")
    (tmp_path / "nets.py").write_text(draft.code.text)
    assert all(rung.holds for rung in draft.rungs(draft.target(tmp_path / "nets.py")))
    assert said in draft.code.text
    assert unsaid not in draft.code.text


def test_a_convolution_of_its_own_is_not_taken_for_keras_s() -> None:
    x = keras.Input((5, 4))
    with pytest.raises(NoCorrespondence, match="operation Conv"):
        KerasDraft(source_of(keras.Model(x, Bounded(3, 2, name="a")(x))), "nets.safetensors")


def test_how_it_begins_is_carried() -> None:
    x = keras.Input((4,))
    draft = KerasDraft(source_of(keras.Model(x, Begun(3, name="a")(x))), "nets.safetensors")
    assert "nn.init.uniform_(layer.weight, -0.25, 0.25)" in draft.code.text

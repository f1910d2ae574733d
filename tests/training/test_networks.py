"""The two networks of a family are one network: layers, parameters, first weights, and the answer for equal weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from onnxpress.core.dotted import load
from onnxpress.training.families.autoencoder import Autoencoder

pytestmark = [pytest.mark.torch, pytest.mark.tensorflow]
torch = pytest.importorskip("torch")
keras = pytest.importorskip("keras")

SPEC = Autoencoder(normal="benign")


def build(framework: str, width: int = 30) -> Any:
    return load(f"onnxpress.training.{framework}.models.autoencoder:build")(**SPEC.network(width))


def dense_layers(network: Any) -> dict[str, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    """name → (weights (inputs, units), biases) of either framework's network."""
    if isinstance(network, torch.nn.Module):
        return {
            name: (layer.weight.detach().numpy().T, layer.bias.detach().numpy())
            for name, layer in network.named_modules()
            if isinstance(layer, torch.nn.Linear)
        }
    return {layer.name: tuple(layer.get_weights()) for layer in network.layers if isinstance(layer, keras.layers.Dense)}


def test_layers_have_the_same_names_in_the_same_order() -> None:
    torch_names = [name for name, _ in build("pytorch").named_modules() if name]
    keras_names = [layer.name for layer in build("tensorflow").layers if not isinstance(layer, keras.layers.InputLayer)]
    assert torch_names == keras_names
    assert [name for name in torch_names if name.startswith("dropout")] == ["dropout_0", "dropout_6"]


@pytest.mark.parametrize("width", [1, 4, 30, 101])
def test_both_have_the_parameters_of_the_formula(width: int) -> None:
    from onnxpress.training.pytorch.fit import parameters as torch_parameters
    from onnxpress.training.tensorflow.fit import parameters as keras_parameters

    assert torch_parameters(build("pytorch", width)) == SPEC.parameters(width)
    assert keras_parameters(build("tensorflow", width)) == SPEC.parameters(width)


def test_both_start_from_glorot_uniform_weights_and_zero_biases() -> None:
    torch.manual_seed(0)
    keras.utils.set_random_seed(0)
    width = 400
    for framework in ("pytorch", "tensorflow"):
        for name, (weights, biases) in dense_layers(build(framework, width)).items():
            limit = math.sqrt(6 / sum(weights.shape))
            assert np.abs(weights).max() == pytest.approx(limit, rel=0.01), (framework, name)
            assert weights.std() == pytest.approx(limit / math.sqrt(3), rel=0.03), (framework, name)
            assert weights.mean() == pytest.approx(0, abs=0.03 * limit), (framework, name)
            assert not biases.any()


def test_with_equal_weights_they_answer_alike() -> None:
    source, target = build("pytorch"), build("tensorflow")
    for name, (weights, biases) in dense_layers(source).items():
        target.get_layer(name).set_weights([weights, biases])
    x = np.random.default_rng(0).random((50, 30), np.float32)
    with torch.no_grad():
        wanted = source.eval()(torch.from_numpy(x)).numpy()
    assert np.asarray(target(x, training=False)) == pytest.approx(wanted, abs=1e-6)


def test_a_factory_gives_a_fresh_network_each_time() -> None:
    for framework in ("pytorch", "tensorflow"):
        first, second = (dense_layers(build(framework))["hidden_0"][0] for _ in range(2))
        assert not np.array_equal(first, second)

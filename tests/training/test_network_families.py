"""Every family's two networks are one network: parameters, first weights, weights carried both ways, equal answers."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.training.network_cases import CASES, Case

from onnxpress.core.arrays import Array
from onnxpress.core.tensors import TensorSpec
from onnxpress.training.pipeline import port

pytest.importorskip("torch")
pytest.importorskip("tensorflow")

import keras
import torch

from onnxpress.training.pytorch import fit as torch_fit
from onnxpress.training.pytorch import weights as torch_weights
from onnxpress.training.tensorflow import fit as keras_fit
from onnxpress.training.tensorflow import weights as keras_weights

pytestmark = [pytest.mark.torch, pytest.mark.tensorflow]
torch.set_num_threads(1)  # as in conftest: the networks are small
each_network = pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])


def lived_in(layers: port.Layers) -> port.Layers:
    """As after a training: no weight at zero or one, variances positive."""
    generator = np.random.default_rng(1)
    return {
        name: {
            role: (array + generator.uniform(0.05, 0.3, array.shape)).astype(array.dtype) if array.ndim == 1 else array
            for role, array in roles.items()
        }
        for name, roles in layers.items()
    }


def pair(case: Case) -> tuple[Any, Any]:
    """Both networks with the same weights, of the torch one's making."""
    source, target = case.build("pytorch"), case.build("tensorflow")
    torch_weights.write(source, lived_in(torch_weights.read(source)))
    port.carry_over(torch_weights.read(source), target, keras_weights)
    return source.eval(), target


def torch_answer(network: Any, case: Case, output: str) -> Callable[..., dict[str, Array]]:
    def answer(**feeds: Array) -> dict[str, Array]:
        dtype = next(network.parameters()).dtype
        tensors = (torch.from_numpy(feeds[spec.name]) for spec in case.inputs)
        with torch.no_grad():
            found = network(*(tensor.to(dtype) if tensor.is_floating_point() else tensor for tensor in tensors))
        return {output: found.numpy()}

    return answer


def keras_answer(network: Any, case: Case, output: str) -> Callable[..., dict[str, Array]]:
    def answer(**feeds: Array) -> dict[str, Array]:
        values = [feeds[spec.name] for spec in case.inputs]
        return {output: np.asarray(network(values if len(values) > 1 else values[0], training=False))}

    return answer


@each_network
def test_both_have_the_parameters_counted_by_hand(case: Case) -> None:
    assert torch_fit.parameters(case.build("pytorch")) == case.parameters
    assert keras_fit.parameters(case.build("tensorflow")) == case.parameters


@each_network
def test_both_start_from_the_same_distributions(case: Case) -> None:
    torch.manual_seed(0)
    keras.utils.set_random_seed(0)
    one, other = torch_weights.read(case.build("pytorch")), keras_weights.read(case.build("tensorflow"))
    assert one.keys() == other.keys()
    for name, roles in one.items():
        assert roles.keys() == other[name].keys()
        for role, array in roles.items():
            counterpart = other[name][role]
            assert (array.dtype, array.shape) == (counterpart.dtype, counterpart.shape), (name, role)
            if array.ndim == 1:
                assert np.array_equal(array, counterpart), (name, role)
            elif role.endswith("recurrent_kernel"):
                for kernel in (array, counterpart):
                    assert kernel @ kernel.T == pytest.approx(np.eye(len(kernel)), abs=1e-5), (name, role)
            else:
                receptive = math.prod(array.shape[:-2])
                fans = receptive * (array.shape[-2] + array.shape[-1])
                limit = 0.05 if role == "embeddings" else math.sqrt(6 / fans)
                for kernel in (array, counterpart):
                    # Of n uniform draws the largest is short of the limit by about a share of 1 / n.
                    assert limit * (1 - 10 / kernel.size) <= np.abs(kernel).max() <= limit * (1 + 1e-6), (name, role)
                    spread = 4 / math.sqrt(kernel.size)
                    assert kernel.std() == pytest.approx(limit / math.sqrt(3), rel=spread), (name, role)


@each_network
def test_weights_go_there_and_back_unchanged(case: Case) -> None:
    source, target, again = case.build("tensorflow"), case.build("pytorch"), case.build("tensorflow")
    keras_weights.write(source, lived_in(keras_weights.read(source)))
    first = keras_weights.read(source)
    port.carry_over(first, target, torch_weights)
    port.carry_over(torch_weights.read(target), again, keras_weights)
    for name, roles in keras_weights.read(again).items():
        for role, array in roles.items():
            assert np.array_equal(array, first[name][role]), (name, role)


def in_double(network: Any) -> Any:
    return copy.deepcopy(network).double()


@each_network
@pytest.mark.parametrize("framework", ["pytorch", "tensorflow"])
def test_torch_keras_and_onnx_answer_alike(case: Case, framework: str, tmp_path: Path) -> None:
    from onnxpress.export import measure
    from onnxpress.export.pipeline.export import export
    from onnxpress.export.source import Source

    source, target = pair(case)
    output = TensorSpec(name="answer", dtype="float32", shape=("batch", "width"))
    network: dict[str, Any] = {"pytorch": source, "tensorflow": target}
    published = export(
        Source(
            reference=case.module,
            name="network",
            framework="pytorch" if framework == "pytorch" else "tensorflow",
            network=network[framework],
            network_inputs=case.inputs,
            network_outputs=[output],
            samples=case.samples(20),
        ),
        repository=tmp_path,
    )
    assert published.report.equivalent, published.report
    reports = [
        measure(
            torch_answer(source, case, "answer"),
            export,
            inputs=case.inputs,
            samples=case.samples(20),
            truth=torch_answer(in_double(source), case, "answer"),
        )
        for export in (keras_answer(target, case, "answer"), published.folder / "model.onnx")
    ]
    for report in reports:
        assert report.equivalent, report


def test_the_second_bias_of_an_lstm_is_added_to_the_first() -> None:
    lstm = torch.nn.Sequential()
    lstm.add_module("lstm", torch.nn.LSTM(3, 2))
    part = lstm.get_submodule("lstm")
    found = torch_weights.read(lstm)["lstm"]
    assert found.keys() == {"kernel", "recurrent_kernel", "bias"}
    assert np.array_equal(found["bias"], (part.bias_ih_l0 + part.bias_hh_l0).detach().numpy())
    torch_weights.write(lstm, {"lstm": found})
    assert not part.bias_hh_l0.detach().numpy().any()
    assert np.array_equal(torch_weights.read(lstm)["lstm"]["bias"], found["bias"])


def test_an_lstm_of_two_layers_is_refused() -> None:
    from onnxpress.core.errors import BadModel

    with pytest.raises(BadModel, match="more than one layer"):
        torch_weights.read(torch.nn.Sequential(torch.nn.LSTM(3, 2, num_layers=2)))

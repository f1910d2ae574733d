"""Examples as people give them, and models that no graph can hold: taken, or refused by what is true of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
from torch import nn  # noqa: E402

from onnxpress.core.errors import BadModel, NotEquivalent, UsageError  # noqa: E402
from onnxpress.export.networks.pytorch.module import TorchNetwork  # noqa: E402
from onnxpress.export.pipeline.prepare import prepare  # noqa: E402
from onnxpress.export.source import Source  # noqa: E402

pytestmark = pytest.mark.torch


def source(model: Any, example: Any) -> Source:
    return Source(reference="test", name="m", framework="pytorch", network=model, example_inputs=example)


class Calls(nn.Module):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Any) -> Any:
        return self.function(x)


@pytest.mark.parametrize(
    "example",
    [np.zeros((3, 4)), [[1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.0, 0.0]], (np.zeros((3, 4)),), {"input": np.zeros((3, 4))}],
    ids=["numpy's float64", "lists of numbers", "a tuple", "a dict"],
)
def test_an_example_in_every_form(example: Any) -> None:
    made = TorchNetwork(source(nn.Linear(4, 2), example))
    assert [str(spec) for spec in made.inputs] == ["input:float32[batch,4]"]


def test_a_float64_module_keeps_float64_examples() -> None:
    made = TorchNetwork(source(nn.Linear(4, 2).double(), np.zeros((3, 4))))
    assert [str(spec) for spec in made.inputs] == ["input:float64[batch,4]"]


@pytest.mark.parametrize(
    ("function", "example", "said"),
    [
        (nn.Linear(4, 2), torch.zeros(3, 5), r"fails on its own example, of shape \{'x': \[3, 5\]\}"),
        (lambda x: x.reshape(3, 2, 2), torch.zeros(3, 4), "answers its own example, and no other number of rows"),
        (lambda x: torch.fft.fft(x), torch.zeros(3, 4), "forward returns complex numbers"),
    ],
    ids=["the example does not fit", "fixed rows", "complex answers"],
)
def test_what_is_refused_says_what_is_true(function: Any, example: Any, said: str) -> None:
    with pytest.raises(BadModel, match=said):
        TorchNetwork(source(Calls(function), example))


def test_a_complex_example_is_refused() -> None:
    with pytest.raises(UsageError, match="ONNX has no complex tensors"):
        TorchNetwork(source(Calls(torch.abs), torch.zeros(3, 4, dtype=torch.complex64)))


def branch(x: Any) -> Any:
    return x * 2 if x.sum() > 0 else x - 1


def test_a_decision_by_values_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match=r"forward decides in Python by the values of a tensor \(test_examples.py:\d+\)"):
        TorchNetwork(source(Calls(branch), torch.zeros(3, 4))).convert(tmp_path)


def test_random_answers_are_not_called_state() -> None:
    """One value in four agrees with the next by chance: many are asked."""
    dropping = Calls(lambda x: nn.functional.dropout(x, 0.5, training=True))
    with pytest.raises(NotEquivalent, match="the model is random, or counts its calls"):
        prepare(source(dropping, torch.ones(1, 1)))


def test_a_module_prepared_for_quantisation_is_named() -> None:
    model = nn.Sequential(nn.Linear(4, 2), torch.ao.quantization.FakeQuantize())
    with pytest.raises(BadModel, match="prepared for quantisation: '1'"):
        TorchNetwork(source(model, torch.zeros(3, 4)))

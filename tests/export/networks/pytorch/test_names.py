"""Outputs keep the author's names though operators are called so; squeezes do in the graph what they do in torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from onnxpress.export.networks.pytorch.module import TorchNetwork  # noqa: E402
from onnxpress.export.source import Source  # noqa: E402
from onnxpress.serving.engine import Engine  # noqa: E402

pytestmark = pytest.mark.torch
X = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)


class Named(torch.nn.Module):
    """Outputs under the names of operators, of a weight, and of an input, in another order than they are computed."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor([3.0]))

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        first = torch.relu(x)
        second = torch.sigmoid(first)
        return {"sigmoid": first, "relu": second, "mul": torch.relu(-x), "scale": x * self.scale, "x": x + 1}


def check(module: torch.nn.Module, names: list[str], folder: Path, x: np.ndarray) -> None:
    made = TorchNetwork(
        Source(reference="t", name="m", framework="pytorch", network=module, example_inputs=torch.from_numpy(x))
    )
    assert made.output_names == names
    answers = Engine.load(made.convert(folder).SerializeToString(), self_test=False).run({made.inputs[0].name: x})
    expected = module(torch.from_numpy(x))
    for name, value in zip(names, expected.values(), strict=True):
        np.testing.assert_allclose(answers[name], value.detach().numpy(), atol=1e-6)


def test_outputs_are_called_as_operators_weights_and_inputs(tmp_path: Path) -> None:
    check(Named(), ["sigmoid", "relu", "mul", "scale", "x_out"], tmp_path, X)


@pytest.mark.parametrize("axis", [1, -1, 2])
def test_a_squeeze_of_another_size_does_nothing(axis: int, tmp_path: Path) -> None:
    class Squeezes(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"y": x.squeeze(axis) * 2, "z": x[:, :, None].squeeze(axis)}

    check(Squeezes(), ["y", "z"], tmp_path, X if axis != 2 else X[:, :, None].repeat(3, 2))

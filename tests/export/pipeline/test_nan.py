"""Maxima and minima of an export answer NaN as the original's do, and a graph that gains nothing stays as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")

import onnx
import torch
from torch import nn

from onnxpress.export.api import export
from onnxpress.serving.engine import Engine


class Extremes(nn.Module):
    """Maxima and minima over an axis, all axes of a row, windows, and where they are."""

    def forward(self, x: Any) -> Any:
        pooled = nn.functional.max_pool1d(x.unsqueeze(1), 2).squeeze(1)
        return x.amax(1), x.amin(1), x.argmax(1), x.argmin(1, keepdim=True), pooled


class Ordinary(nn.Module):
    """A NaN is answered, or lost, elsewhere."""

    def forward(self, x: Any) -> Any:
        return torch.where(x > 0, x, torch.zeros_like(x)).amax(1)


def rows(count: int, special: float = np.nan) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(count)
    made = rng.normal(size=(count, 6)).astype(np.float32)
    made[rng.random(made.shape) < 0.3] = special
    made[-1] = special
    return made


def operators(folder: Path) -> list[str]:
    return [node.op_type for node in onnx.load(folder / "model.onnx").graph.node]


def test_maxima_and_minima_answer_nan_as_the_original_does(tmp_path: Path) -> None:
    model = Extremes().eval()
    published = export(model, name="m", repository=tmp_path, example=torch.randn(4, 6))
    assert "nan" not in published.manifest.inputs[0].refuses
    assert {"ReduceMax", "ArgMax", "MaxPool", "IsNaN"} <= set(operators(published.folder))
    engine = Engine.load(published.folder / "model.onnx")
    for count in (1, 5, 33):
        for special in (np.nan, np.inf, 0.5):
            fed = rows(count, special)
            said = [value.numpy() for value in model(torch.from_numpy(fed))]
            for got, expected in zip(engine.run({"x": fed}).values(), said, strict=True):
                np.testing.assert_array_equal(got, expected)


def test_a_graph_that_needs_nothing_is_left_alone(tmp_path: Path) -> None:
    published = export(Ordinary().eval(), name="m", repository=tmp_path, example=torch.randn(4, 6))
    assert "IsNaN" not in operators(published.folder)
    assert "nan" not in published.manifest.inputs[0].refuses

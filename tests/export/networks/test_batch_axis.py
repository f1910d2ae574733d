"""The rows of an input lie along the axis that is as long as the others' rows are many."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")

import torch
from torch import nn

from onnxpress.export.api import export
from onnxpress.serving.engine import Engine


class Step(nn.Module):
    """A recurrent step with its state, layers first."""

    def __init__(self, kind: Any, layers: int) -> None:
        super().__init__()
        self.cell = kind(5, 6, num_layers=layers, batch_first=True)
        self.pair = kind is nn.LSTM

    def forward(self, x: Any, state: Any, memory: Any = None) -> Any:
        seen, state = self.cell(x, (state, memory) if self.pair else state)
        return (seen, *state) if self.pair else (seen, state)


def example(batch: int, layers: int, time: int, pair: bool, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    feeds = {"x": rng.normal(size=(batch, time, 5)), "state": rng.normal(size=(layers, batch, 6))}
    if pair:
        feeds["memory"] = rng.normal(size=(layers, batch, 6))
    return {name: value.astype(np.float32) for name, value in feeds.items()}


@pytest.mark.parametrize(
    ("kind", "layers", "batch"), [(nn.GRU, 2, 3), (nn.GRU, 1, 1), (nn.GRU, 2, 2), (nn.LSTM, 2, 3)], ids=str
)
def test_a_state_has_its_rows_on_the_second_axis(kind: Any, layers: int, batch: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, pair = Step(kind, layers).eval(), kind is nn.LSTM
    published = export(model, name="m", repository=tmp_path, example=example(batch, layers, 7, pair))
    assert published.manifest.inputs[1].shape == (layers, "batch", 6)
    assert published.manifest.outputs[1].shape == (layers, "batch", 6)
    assert not published.manifest.batch_safe
    engine = Engine.load(published.folder / "model.onnx")
    for rows, time in ((1, 7), (4, 9), (5, 2)):
        feeds = example(rows, layers, time, pair, seed=rows)
        with torch.no_grad():
            said = model(*map(torch.from_numpy, feeds.values()))
        for got, value in zip(engine.run(feeds).values(), said, strict=True):
            np.testing.assert_allclose(got, value.numpy(), atol=1e-5)


class Table(nn.Module):
    """Rows beside a table that all of them look at."""

    def forward(self, x: Any, table: Any) -> Any:
        return x @ table.reshape(4, 3)


def test_an_input_without_rows_has_none(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shown = {"x": rng.normal(size=(3, 4)).astype("f4"), "table": rng.normal(size=(4, 3)).astype("f4")}
    published = export(Table().eval(), name="m", repository=tmp_path, example=shown)
    assert published.manifest.inputs[1].shape == (4, 3)
    assert not published.manifest.batch_safe


class Cache(nn.Module):
    """Attends to what is new and what was before; the mask is as long as both."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.key = nn.Embedding(9, 4), nn.Linear(4, 4)

    def forward(self, ids: Any, mask: Any, past: Any) -> Any:
        new = self.embed(ids)
        seen = torch.cat([past, self.key(new)], 1)
        scores = (new @ seen.mT).masked_fill(mask[:, None] == 0, -1e9)
        return {"out": torch.softmax(scores, -1) @ seen, "present": seen}


def cached(batch: int, past: int, new: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    mask = np.ones((batch, past + new), np.int64)
    before = rng.normal(size=(batch, past, 4)).astype("f4")
    return {"ids": rng.integers(0, 9, (batch, new)), "mask": mask, "past": before}


@pytest.mark.parametrize(("past", "new"), [(5, 3), (3, 3), (4, 1)])
def test_sizes_that_are_sums_of_others_vary_with_them(past: int, new: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Cache().eval()
    published = export(model, name="m", repository=tmp_path, example=cached(2, past, new))
    shapes = {spec.name: spec.shape for spec in published.manifest.inputs}
    assert set(shapes["mask"][1].split("+")) == {shapes["ids"][1], shapes["past"][1]}
    engine = Engine.load(published.folder / "model.onnx")
    for rows, before, now in ((1, 7, 1), (3, past, new), (2, 1, 6)):
        feeds = cached(rows, before, now, seed=rows)
        with torch.no_grad():
            said = model(*map(torch.from_numpy, feeds.values()))
        for name, got in engine.run(feeds).items():
            np.testing.assert_allclose(got, said[name].numpy(), atol=1e-5)


class Wide(nn.Module):
    """Three widths, one the sum of the others, none of which varies."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 2)

    def forward(self, x: Any, y: Any, weight: Any) -> Any:
        return self.linear(torch.cat([x, y], 1) * weight)


def test_widths_that_add_up_by_chance_stay(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shown = {name: rng.normal(size=(4, size)).astype("f4") for name, size in (("x", 3), ("y", 5), ("weight", 8))}
    published = export(Wide().eval(), name="m", repository=tmp_path, example=shown)
    assert [spec.shape for spec in published.manifest.inputs] == [("batch", 3), ("batch", 5), ("batch", 8)]

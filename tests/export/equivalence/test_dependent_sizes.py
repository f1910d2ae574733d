"""Sizes that depend on each other are written as sums: told, or found in the example where the original confirms it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")

import torch
from torch import nn

from onnxpress.core.errors import OnnxpressError
from onnxpress.export.api import export
from onnxpress.serving.engine import Engine


class Cache(nn.Module):
    """A step that reads what was said before and what is new."""

    def __init__(self, mix: float = 1.0) -> None:
        super().__init__()
        self.value = nn.Linear(4, 4)
        self.mix = mix

    def forward(self, new: Any, past: Any, mask: Any) -> Any:
        rows = torch.cat([past, self.value(new)], 1)
        weights = torch.softmax(rows.mean(-1) + (mask - 1.0) * 50.0, -1)
        return (weights.unsqueeze(-1) * rows).sum(1), rows


class Free(nn.Module):
    """The same sizes in the example, and no sum: each may vary alone."""

    def forward(self, new: Any, past: Any, mask: Any) -> Any:
        return new.mean((1, 2)) + past.mean((1, 2)) + mask.mean(1)


EXAMPLE = {
    "new": np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32),
    "past": np.random.default_rng(1).normal(size=(2, 5, 4)).astype(np.float32),
    "mask": np.ones((2, 8), np.float32),
}


def inputs(mask: str) -> list[str]:
    return ["new:float32[batch,fresh,4]", "past:float32[batch,kept,4]", f"mask:float32[batch,{mask}]"]


@pytest.mark.parametrize("mask", ["kept+fresh", "kept + fresh", "total"])
def test_a_sum_is_told_or_found(mask: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Cache().eval()
    published = export(model, name="m", repository=tmp_path, inputs=inputs(mask), example=EXAMPLE)
    specs = {spec.name: spec for spec in published.manifest.inputs}
    assert sorted(specs["mask"].shape[1].split("+")) == ["fresh", "kept"]  # type: ignore[union-attr]
    rows = next(spec for spec in published.manifest.outputs if len(spec.shape) == 3)
    assert sorted(rows.shape[1].split("+")) == ["fresh", "kept"]  # type: ignore[union-attr]
    engine = Engine.load(published.folder / "model.onnx")
    rng = np.random.default_rng(3)
    for batch, kept, fresh in ((1, 5, 3), (3, 1, 6), (2, 9, 1)):
        feeds = {
            "new": rng.normal(size=(batch, fresh, 4)).astype("f4"),
            "past": rng.normal(size=(batch, kept, 4)).astype("f4"),
            "mask": np.ones((batch, kept + fresh), "f4"),
        }
        with torch.no_grad():
            said = model(*map(torch.from_numpy, feeds.values()))
        for name, value in zip(engine.run(feeds).values(), said, strict=True):
            np.testing.assert_allclose(name, value.numpy(), atol=1e-5)


def test_sizes_that_only_look_like_a_sum_stay_apart(tmp_path: Path) -> None:
    published = export(Free().eval(), name="m", repository=tmp_path, inputs=inputs("total"), example=EXAMPLE)
    assert [str(spec) for spec in published.manifest.inputs][2] == "mask:float32[batch,total]"


def test_a_wrong_sum_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OnnxpressError):
        export(Cache().eval(), name="m", repository=tmp_path, inputs=inputs("kept+kept"), example=EXAMPLE)

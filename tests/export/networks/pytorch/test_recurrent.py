"""Recurrent layers one behind the other, exported for batches and sequences of any length."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from onnxpress.export.networks.wrap import wrap
from onnxpress.export.source import SourceRef
from onnxpress.export.sources.resolve import from_object
from onnxpress.serving.engine import Engine

pytestmark = pytest.mark.torch


class Stack(nn.Module):
    def __init__(self, first: type[nn.Module], second: type[nn.Module], both_ways: bool) -> None:
        super().__init__()
        self.first: Any = first(3, 4, batch_first=True, bidirectional=both_ways)
        self.second: Any = second(8 if both_ways else 4, 5, batch_first=True)

    def forward(self, x: torch.Tensor) -> Any:
        return self.second(self.first(x)[0])[0]


@pytest.mark.parametrize("both_ways", [False, True])
@pytest.mark.parametrize(("first", "second"), [(nn.LSTM, nn.LSTM), (nn.GRU, nn.GRU), (nn.LSTM, nn.GRU)])
def test_layers_behind_each_other_take_any_length(first: Any, second: Any, both_ways: bool, tmp_path: Path) -> None:
    model = Stack(first, second, both_ways).eval()
    ref = SourceRef(reference="nets:build", inputs=["x:float32[batch,steps,3]"])
    graph = wrap(from_object(model, "net", ref, {})).convert(tmp_path)
    path = tmp_path / "model.onnx"
    path.write_bytes(graph.SerializeToString())
    engine = Engine.load(path)
    try:
        for shape in ((6, 8, 3), (5, 2, 3), (1, 4, 3)):
            x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
            with torch.no_grad():
                wanted = model(torch.from_numpy(x)).numpy()
            assert np.allclose(next(iter(engine.run({"x": x}).values())), wanted, atol=1e-6)
    finally:
        engine.close()

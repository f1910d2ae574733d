"""Equal scores on absurd rows decide nothing; a head that chooses wrongly on ordinary rows is still refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")

import numpy as np
import onnx
import torch
from torch import nn

from onnxpress.export.api import export
from onnxpress.export.equivalence.cases import cases
from onnxpress.export.equivalence.ties import tied
from onnxpress.export.pipeline.verify import against_source
from onnxpress.export.source import Source
from onnxpress.serving.engine import Engine


class Head(nn.Module):
    """The best rows of scores that saturate, and what stands beside them."""

    def __init__(self, best: int = 4) -> None:
        super().__init__()
        self.score, self.box, self.best = nn.Linear(5, 6), nn.Linear(5, 4), best

    def forward(self, x: Any) -> Any:
        score, label = torch.sigmoid(self.score(x)).max(-1)
        top, at = score.topk(self.best, 1)
        return {
            "scores": top,
            "labels": label.gather(1, at),
            "boxes": self.box(x).gather(1, at.unsqueeze(-1).expand(-1, -1, 4)),
        }


def test_a_head_whose_scores_saturate_far_away_is_published(tmp_path: Path) -> None:
    torch.manual_seed(0)
    published = export(Head().eval(), name="m", repository=tmp_path, example=torch.rand(2, 40, 5))
    assert published.report.equivalent
    told = [check.detail for check in published.report.checks]
    # Far away every box has the same score; both sides take the first of them, and the two are compared there too.
    assert "of equal values topk gives the first one first, where torch promises no order" in told
    torch.manual_seed(0)
    model, rows = Head().eval(), torch.rand(2, 40, 5)
    source = Source(reference="head", name="m", framework="pytorch", network=model, example_inputs=rows)
    again = against_source(published.folder / "model.onnx", source, "cpu")
    assert again.equivalent, again  # what was published is verified too


@pytest.mark.parametrize("operator", ["TopK", "ArgMax"])
def test_a_choice_of_the_lowest_is_still_refused(operator: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, rows = Head().eval(), torch.rand(2, 40, 5)
    published = export(model, name="m", repository=tmp_path, example=rows)
    graph = onnx.load(published.folder / "model.onnx")
    node = next(node for node in graph.graph.node if node.op_type == operator)
    if operator == "TopK":
        next(attribute for attribute in node.attribute if attribute.name == "largest").i = 0
    else:
        node.op_type = "ArgMin"
    onnx.save(graph, tmp_path / "wrong.onnx")
    source = Source(reference="head", name="m", framework="pytorch", network=model, example_inputs=rows)
    assert not against_source(tmp_path / "wrong.onnx", source, "cpu").equivalent


def test_far_cases_alone_are_left_out_and_only_where_scores_tie(tmp_path: Path) -> None:
    torch.manual_seed(0)
    published = export(Head().eval(), name="m", repository=tmp_path, example=torch.rand(2, 40, 5))
    asked = cases(published.manifest.inputs, {"x": torch.rand(8, 40, 5).numpy()})
    found = tied(onnx.load(published.folder / "model.onnx"), asked)
    assert "zeros, batch 3" in found
    assert all(name.startswith(("zeros", "large", "tiny", "magnitudes")) for name in found)
    plain = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["": 18]> g (float[n] x) => (float[n] y) { y = Relu(x) }'
    )
    assert tied(plain, asked) == {}


class Rare(nn.Module):
    """Probabilities of what hardly ever happens."""

    def __init__(self, shift: float) -> None:
        super().__init__()
        self.linear, self.shift = nn.Linear(6, 2), shift

    def forward(self, x: Any) -> Any:
        return torch.sigmoid(self.linear(x) * 3 - self.shift)


@pytest.mark.parametrize(("shift", "written"), [(0.0, False), (16.0, True)])
def test_small_probabilities_are_exact_for_every_row(shift: float, written: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Rare(shift).eval()
    published = export(model, name="m", repository=tmp_path, example=torch.randn(16, 6))
    assert any(check.name == "scores" for check in published.report.checks) == written
    rows = torch.randn(200, 6)
    with torch.no_grad():
        wanted = model(rows).numpy()
    answer = Engine.load(published.folder / "model.onnx").run({"x": rows.numpy()})["output"]
    np.testing.assert_allclose(answer, wanted, rtol=1e-4)
    graph = onnx.load(published.folder / "model.onnx")
    weight = next(value for value in graph.graph.initializer if value.name == "linear.bias")
    weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight) * np.float32(1.01), weight.name))
    onnx.save(graph, tmp_path / "wrong.onnx")
    source = Source(reference="rare", name="m", framework="pytorch", network=model, example_inputs=torch.randn(16, 6))
    assert not against_source(tmp_path / "wrong.onnx", source, "cpu").equivalent

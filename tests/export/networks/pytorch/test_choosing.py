"""The first of equal values is chosen, and noise exchanges those scores alone that rounding may exchange."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

import onnx  # noqa: E402
from torch import nn  # noqa: E402

from onnxpress.core.golden import LIMIT  # noqa: E402
from onnxpress.core.processing import Processing  # noqa: E402
from onnxpress.export.equivalence.cases import Case  # noqa: E402
from onnxpress.export.equivalence.reference import Reference  # noqa: E402
from onnxpress.export.equivalence.ties import marked  # noqa: E402
from onnxpress.export.networks.pytorch.module import TorchNetwork  # noqa: E402
from onnxpress.export.pipeline.export import export  # noqa: E402
from onnxpress.export.pipeline.publish import Published  # noqa: E402
from onnxpress.export.pipeline.verify import against_source  # noqa: E402
from onnxpress.export.source import Source  # noqa: E402
from onnxpress.serving.engine import Engine  # noqa: E402

pytestmark = pytest.mark.torch


class Calls(nn.Module):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Any) -> Any:
        return self.function(x)


def source(model: nn.Module, example: Any) -> Source:
    return Source(reference="choice", name="m", framework="pytorch", network=model, example_inputs=example)


def asked(function: Any, rows: Any, names: dict[str, Any] | None = None) -> tuple[TorchNetwork, dict[str, Any]]:
    network = TorchNetwork(source(Calls(function), rows))
    return network, network.run({network.inputs[0].name: rows.numpy()}, "float32")


@pytest.mark.parametrize("down", [True, False])
def test_the_first_of_equal_integers_comes_first(down: bool) -> None:
    torch.manual_seed(0)
    rows = torch.randint(0, 4, (6, 60))
    order = np.argsort(-rows.numpy() if down else rows.numpy(), axis=1, kind="stable")
    network, answer = asked(lambda x: (x.topk(50, largest=down).indices, x.sort(1, descending=down).indices), rows)
    assert (answer["output_0"] == order[:, :50]).all()
    assert (answer["output_1"] == order).all()
    assert "of equal values topk gives the first one first, where torch promises no order" in network.notes
    _, answer = asked(lambda x: {"third": x.kthvalue(3, 1).indices, "half": x.median(1).indices}, rows)
    up = np.argsort(rows.numpy(), axis=1, kind="stable")
    assert (answer["third"] == up[:, 2]).all()
    assert (answer["half"] == up[:, 29]).all()


def test_what_chooses_nothing_is_run_as_it_is() -> None:
    network, _ = asked(torch.relu, torch.ones(3, 4))
    assert network.choices.chooses is False
    assert not list(network.chosen_otherwise({network.inputs[0].name: np.ones((3, 4), "f4")}, LIMIT, 8))


def decided(function: Any, rows: list[list[float]]) -> dict[str, Any]:
    values = torch.tensor(rows)
    network = TorchNetwork(source(Calls(function), values))
    reference = Reference(network, Processing(), network.inputs)
    (case,) = marked(reference, [Case("generated", len(rows), {network.inputs[0].name: values.numpy()})], LIMIT)
    return {name: tie.tolist() for name, tie in case.ties.items()}


NEAR = float(np.nextafter(np.float32(0.9), np.float32(1)))


def test_scores_that_rounding_exchanges_are_marked_and_others_not() -> None:
    rows = [[0.1, 0.9, NEAR, 0.5], [0.1, 0.9, 0.8, 0.5], [0.1, 0.9, 0.9, 0.5]]

    def head(x: Any) -> Any:
        best = x.topk(3)
        return {
            "at": best.indices,
            "scores": best.values,
            "one": x.argmax(1),
            "beside": (x * 2).gather(1, best.indices),
        }

    found = decided(head, rows)
    # Equal in float64 too: both sides take the first. The scores themselves are compared everywhere.
    assert found == {"at": [[True, True, False], [False] * 3, [False] * 3], "one": [True, False, False]}


def test_saturated_scores_are_marked() -> None:
    found = decided(lambda x: torch.sigmoid(x).argmax(1), [[20.0, 21.0, 22.0], [1.0, 2.0, 3.0]])
    assert found == {"output": [True, False]}


class Head(nn.Module):
    def __init__(self, factor: float = 6.0, shift: float = 0.0) -> None:
        super().__init__()
        self.score, self.box = nn.Linear(5, 3), nn.Linear(5, 4)
        self.factor, self.shift = factor, shift

    def forward(self, x: Any) -> Any:
        scores = self.score(x) * self.factor
        # The second form of 1 - sigmoid is not one that the export writes out.
        scores = torch.sigmoid(scores - self.shift) if self.shift else 1 - torch.sigmoid(-scores)
        score, label = scores.max(-1)
        top, at = score.topk(8, 1)
        boxes = self.box(x).gather(1, at.unsqueeze(-1).expand(-1, -1, 4))
        return {"scores": top, "labels": label.gather(1, at), "boxes": boxes}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Source, Published]:
    torch.manual_seed(0)
    one = source(Head().eval(), torch.randn(2, 40, 5))
    return one, export(one, repository=tmp_path_factory.mktemp("heads"))


def test_a_head_whose_scores_saturate_on_ordinary_rows_is_published(published: tuple[Source, Published]) -> None:
    original, made = published
    assert made.report.equivalent
    assert any("scores that rounding exchanges" in check.detail for check in made.report.checks if check.name == "ties")
    rows = torch.randn(3, 40, 5) * 0.1
    with torch.no_grad():
        wanted = original.network(rows)
    answers = Engine.load(made.folder / "model.onnx").run({"x": rows.numpy()})
    np.testing.assert_allclose(answers["boxes"], wanted["boxes"], 1e-5, 1e-5)


def next_box(graph: Any) -> None:
    node = next(node for node in graph.node if node.op_type == "GatherElements" and node.output[0] == "boxes")
    graph.node.insert(list(graph.node).index(node), onnx.helper.make_node("Neg", [node.input[0]], ["negated"]))
    node.input[0] = "negated"


def no_scores(graph: Any) -> None:
    """All scores equal in the graph: were the graph asked, everything would be a tie."""
    at = next(place for place, node in enumerate(graph.node) if node.op_type == "Sigmoid")
    given = graph.node[at].input[0]
    graph.node.insert(at, onnx.helper.make_node("Sub", [given, given], ["nothing"]))
    graph.node[at + 1].input[0] = "nothing"


@pytest.mark.parametrize("fault", [next_box, no_scores])
def test_a_faulty_head_is_refused_all_the_same(fault: Any, published: tuple[Source, Published], tmp_path: Path) -> None:
    model = onnx.load(published[1].folder / "model.onnx")
    fault(model.graph)
    onnx.save(model, tmp_path / "wrong.onnx")
    assert not against_source(tmp_path / "wrong.onnx", published[0], "cpu").equivalent


def test_scores_smaller_than_the_runtimes_sigmoid_tells_keep_their_order(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Head(2.0, 14.0).eval()
    made = export(source(model, torch.randn(2, 40, 5)), repository=tmp_path)
    assert any(check.name == "scores" and "1 / (1 + exp(-x))" in check.detail for check in made.report.checks)
    rows = torch.randn(3, 40, 5)
    with torch.no_grad():
        wanted = model(rows)
    answers = Engine.load(made.folder / "model.onnx").run({"x": rows.numpy()})
    np.testing.assert_allclose(answers["scores"], wanted["scores"], 1e-5)
    np.testing.assert_allclose(answers["boxes"], wanted["boxes"], 1e-5, 1e-5)
    wrong = onnx.load(made.folder / "model.onnx")
    next_box(wrong.graph)
    onnx.save(wrong, tmp_path / "wrong.onnx")
    assert not against_source(tmp_path / "wrong.onnx", source(model, torch.randn(2, 40, 5)), "cpu").equivalent

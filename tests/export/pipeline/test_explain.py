"""A refused export is told by layer, keeps its evidence, and is served by nobody."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
from torch import nn  # noqa: E402

from onnxpress.core.errors import BadModel, NotEquivalent  # noqa: E402
from onnxpress.export.cli import verify  # noqa: E402
from onnxpress.export.pipeline import verify as verification  # noqa: E402
from onnxpress.export.pipeline.export import export  # noqa: E402
from onnxpress.export.source import Source  # noqa: E402
from onnxpress.export.sources.resolve import resolve  # noqa: E402
from onnxpress.serving.models.repository import Repository  # noqa: E402

pytestmark = pytest.mark.torch

NETS = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(
            *[nn.Sequential(nn.Linear(12, 12), nn.LayerNorm(12), nn.GELU()) for _ in range(3)]
        )
        self.convolution = nn.Conv1d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm1d(4)
        self.head = nn.Linear(12, 5)

    def forward(self, x):
        h = self.encoder(x)
        h = h + self.norm(self.convolution(h[:, None])).mean(1)
        weights = torch.softmax(h * 0.5, dim=1)
        return {"probabilities": torch.softmax(self.head(h * weights), -1)}

def build():
    torch.manual_seed(0)
    return Net().eval(), torch.randn(8, 12)
"""
Edit = Callable[[Any], None]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Source, Path]:
    folder = tmp_path_factory.mktemp("nets")
    (folder / "explained_nets.py").write_text(NETS)
    source = resolve(f"{folder / 'explained_nets.py'}:build")
    return source, export(source, repository=folder / "models").folder


def broken(model: Path, edit: Edit, folder: Path) -> Path:
    proto = onnx.load(model / "model.onnx")
    edit(proto)
    onnx.save(proto, folder / "broken.onnx")
    return folder / "broken.onnx"


def epsilon(proto: Any) -> None:
    node = [node for node in proto.graph.node if node.op_type == "LayerNormalization"][1]
    next(attribute for attribute in node.attribute if attribute.name == "epsilon").f = 1e-3


def axis(proto: Any) -> None:
    node = next(node for node in proto.graph.node if node.op_type == "Softmax")
    next(attribute for attribute in node.attribute if attribute.name == "axis").i = 0


def weight(proto: Any) -> None:
    value = next(value for value in proto.graph.initializer if value.name == "encoder.2.0.weight")
    array = onnx.numpy_helper.to_array(value).copy()
    array[3, 4] *= 1.001
    value.CopyFrom(onnx.numpy_helper.from_array(array, value.name))


def padding(proto: Any) -> None:
    node = next(node for node in proto.graph.node if node.op_type == "Conv")
    next(attribute for attribute in node.attribute if attribute.name == "pads").ints[:] = [2, 0]


@pytest.mark.parametrize(
    ("edit", "layer", "said"),
    [
        (epsilon, "encoder.1.1", "LayerNorm"),
        (axis, "", "softmax, explained_nets.py:18"),
        (weight, "encoder.2.0", "encoder.2.0.weight: 1 of 144 values differ"),
        (padding, "norm", "norm (BatchNorm1d) with convolution folded into it"),
    ],
)
def test_the_faulty_layer_is_named(
    published: tuple[Source, Path], tmp_path: Path, edit: Edit, layer: str, said: str
) -> None:
    source, model = published
    report = verification.against_source(broken(model, edit, tmp_path), source, "cpu", explain=True)
    assert not report.equivalent
    assert report.explanation is not None
    assert report.explanation.layer == layer
    assert said in report.explanation.detail
    assert report.explanation.nodes
    assert report.curve


def test_a_sound_model_has_no_explanation_and_every_layer_is_looked_at(published: tuple[Source, Path]) -> None:
    source, model = published
    report = verification.against_source(model, source, "cpu", explain=True)
    assert report.equivalent, report
    assert report.explanation is None
    assert report.not_measured == []
    layers = next(check for check in report.checks if check.name == "layers")
    assert layers.passed
    assert max(point.multiple for point in report.curve) < 1.5


def test_the_same_model_elsewhere_is_a_rung_of_its_own(published: tuple[Source, Path]) -> None:
    source, model = published
    report = verification.against_source(model, source, "cpu", others=[source])
    assert [rung.name for rung in report.ladder] == [f"pytorch, {source.reference}", "cpu, as served"]
    assert report.ladder[0].worst_multiple == 0


class Lies(nn.Module):
    """Exports otherwise than it answers: the slope is one thing to the tracer and another to a caller."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, 6) → (batch, 3)."""
        slope = 0.1 if torch.compiler.is_exporting() else 0.2
        return self.second(nn.functional.leaky_relu(self.first(x), slope))


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> tuple[NotEquivalent, Path]:
    tmp_path = tmp_path_factory.mktemp("refused")
    torch.manual_seed(0)
    source = Source(reference="lies", name="m", framework="pytorch", network=Lies(), example_inputs=torch.randn(5, 6))
    for _ in range(2):
        with pytest.raises(NotEquivalent) as raised:
            export(source, repository=tmp_path)
    return raised.value, tmp_path


def test_a_refusal_names_the_line_and_keeps_its_evidence(refused: tuple[NotEquivalent, Path]) -> None:
    error, repository = refused
    assert "leaky_relu, test_explain.py:" in str(error)
    folder = next((repository / ".refused" / "m").iterdir())
    assert len(list((repository / ".refused" / "m").iterdir())) == 1, "one refusal of each name is kept"
    assert f"onnxpress verify {folder}" in str(error.hint)
    assert {"model.onnx", "golden.npz", "equivalence.json", "equivalence.html"} <= {p.name for p in folder.iterdir()}
    again = CliRunner().invoke(verify, [str(folder)], standalone_mode=False)
    assert isinstance(again.exception, NotEquivalent)
    assert "leaky_relu" in str(again.exception)
    assert "noise floors from the reference on this machine" in str(again.exception)


def test_what_was_refused_is_not_a_model_of_the_repository_and_is_not_served(
    refused: tuple[NotEquivalent, Path],
) -> None:
    _, repository = refused
    folder = next((repository / ".refused" / "m").iterdir())
    assert not (repository / "m").exists()
    with pytest.raises(BadModel, match="its export was refused"):
        Repository(folder).load()


def test_evidence_that_cannot_be_kept_leaves_the_refusal_itself(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source = Source(reference="lies", name="m", framework="pytorch", network=Lies(), example_inputs=torch.randn(5, 6))
    (tmp_path / ".refused").write_text("a file where the folder should be")
    with pytest.raises(NotEquivalent, match="NOT equivalent") as raised:
        export(source, repository=tmp_path)
    assert "could not be kept" in str(raised.value.hint)


def test_the_numbers_of_the_report_are_in_the_file(refused: tuple[NotEquivalent, Path]) -> None:
    _, repository = refused
    folder = next((repository / ".refused" / "m").iterdir())
    document = json.loads((folder / "equivalence.json").read_text())
    assert document["format"] == 2
    assert document["explanation"]["layer"] == ""
    assert sum(document["outputs"][0]["distribution"]) > 0
    assert np.isfinite([point["multiple"] for point in document["curve"]]).all()

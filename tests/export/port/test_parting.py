"""Of a source whose own descents part each step is begun from its weights, and a fault shows all the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from onnxpress.export.port.draft import Draft
from onnxpress.export.port.proof import training
from onnxpress.export.port.proof.gradients import Sides
from onnxpress.export.port.proof.parting import OfTorch, each_step, growth
from onnxpress.export.port.proof.rates import no_dropout_of_keras, no_dropout_of_torch
from onnxpress.export.source import SourceRef
from onnxpress.export.sources.resolve import from_object

pytestmark = [pytest.mark.torch, pytest.mark.tensorflow]


@pytest.fixture
def sides(tmp_path: Path) -> Sides:
    torch.manual_seed(0)
    layers = [nn.Linear(5, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4, 2)]
    source = from_object(nn.Sequential(*layers).eval(), "net", SourceRef(reference="nets:build"), {}, torch.randn(4, 5))
    draft = Draft(source, "nets.weights.h5")
    written = tmp_path / "nets.py"
    written.write_text(draft.code.text)
    return draft.sides(draft.target(written))


def test_each_step_of_a_sound_port_is_the_source_s(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "LIMIT", 1e-300)  # as if twenty steps had parted
    monkeypatch.setattr(training, "_other_statistics", lambda *_: "")
    rung = training.training(sides)
    assert rung.holds
    assert "each is begun from its weights" in rung.detail
    assert rung.limit is not None
    assert 1e-12 < rung.limit < 1e-3


def test_a_fault_shows_in_a_step(sides: Sides) -> None:
    with no_dropout_of_torch(sides), no_dropout_of_keras(sides):
        parted = OfTorch(sides)
        sound, limit = each_step(parted, 1e-6)
        assert sound.figure <= limit
        parted.begin()
        assert 0 < growth(parted, [parted.source()[0]]) < 1e-3
        norm = next(layer for layer in sides.target.model("float64").layers if "batch" in type(layer).__name__.lower())
        norm.epsilon = 0.1
        sides._functions.clear()  # traced with the epsilon of before
        faulty, limit = each_step(parted, 1e-6)
        assert faulty.figure > limit


def test_the_rung_does_not_excuse_what_is_farther_away_than_the_source_parts(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = training._steps_of_keras

    def faulty(*given: object) -> object:
        worst = steps(*given)  # type: ignore[arg-type]
        worst.add(0.5, "the loss of step 3")
        return worst

    monkeypatch.setattr(training, "_steps_of_keras", faulty)
    rung = training.training(sides)
    assert rung.holds is False
    assert rung.worst == 0.5
    assert "begun from" not in rung.detail

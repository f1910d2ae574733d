"""What was written is exported to ONNX and ported back, in both directions; a layout that is kept is the source's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from onnxpress.core.arrays import Array
from onnxpress.export.port.carrying import carry
from onnxpress.export.port.draft import Draft
from onnxpress.export.port.proof import round_trip as rung5
from onnxpress.export.port.proof.rung import Rung
from onnxpress.export.port.refusal import NoCorrespondence
from onnxpress.export.source import Source, SourceRef
from onnxpress.export.sources.resolve import from_object

pytestmark = [pytest.mark.torch, pytest.mark.tensorflow]


def source_of(model: Any, example: Any = None) -> Source:
    return from_object(model, "net", SourceRef(reference="nets:build"), {}, *([] if example is None else [example]))


class Filter(nn.Module):
    """Channels come first in what it takes and in what it answers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(3, 4, 3, padding=1)
        self.head = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """(batch, 3, 9) → (batch, 4, 9), (batch, 2)."""
        found = torch.relu(self.conv(x))
        return {"found": found, "head": self.head(found.mean(dim=2))}


def test_from_torch_and_back_with_the_layout_kept(tmp_path: Path) -> None:
    source = source_of(Filter().eval(), (torch.randn(4, 3, 9),))
    found = carry(source, to="tensorflow", output=tmp_path / "nets.py", keep=True, returns=True).report
    assert [rung.holds for rung in found.rungs] == [True] * 5
    assert "by ONNX" in found.rungs[-1].detail
    assert "ported back" in found.rungs[-1].detail
    assert list(found.inputs.values()) == [[0, 1, 2]]
    assert found.outputs == {"found": [0, 1, 2], "head": [0, 1]}


def test_from_keras_and_back_with_the_layout_kept(tmp_path: Path) -> None:
    import keras

    keras.utils.set_random_seed(0)
    x = keras.Input((9, 3), name="x")
    found = keras.layers.Conv1D(4, 3, padding="same", activation="relu", name="conv")(x)
    head = keras.layers.Dense(2, name="head")(keras.layers.GlobalAveragePooling1D()(found))
    model = keras.Model(x, {"found": found, "head": head})
    ported = carry(source_of(model), to="pytorch", output=tmp_path / "nets.py", keep=True, returns=True).report
    assert [rung.holds for rung in ported.rungs] == [True] * 5
    assert "ported back" in ported.rungs[-1].detail
    assert ported.inputs == {"x": [0, 1, 2]}
    assert ported.outputs == {"found": [0, 1, 2], "head": [0, 1]}


@pytest.fixture
def draft(monkeypatch: pytest.MonkeyPatch) -> Draft:
    """One whose export is taken to hold."""
    held = Rung(name="round trip", holds=True, detail="by ONNX", worst=1.0, limit=10.0)
    monkeypatch.setattr(rung5, "_by_file", lambda *_: held)
    return Draft(source_of(nn.Sequential(nn.Linear(3, 2)), (torch.randn(4, 3),)), "nets.weights.h5")


def asked(draft: Draft, path: Path, back: rung5.PortedBack) -> Rung:
    path.write_text(draft.code.text)
    return rung5.round_trip(draft.network, rung5.WrittenKeras(draft.target(path)), draft.asked, back)


def test_a_port_back_that_answers_otherwise_fails(draft: Draft, tmp_path: Path) -> None:
    def back(source: Source, _: Path) -> Any:
        def answer(feeds: dict[str, Array]) -> dict[str, Array]:
            return {"output": np.asarray(source.network(feeds["x"])) + 0.1}

        return ["x"], answer

    found = asked(draft, tmp_path / "nets.py", back)
    assert found.holds is False
    assert "by ONNX; ported back, " in found.detail


def test_what_has_no_way_back_fails_and_says_where(draft: Draft, tmp_path: Path) -> None:
    def back(*_: Any) -> Any:
        raise NoCorrespondence("there is no correspondence of the operation Odd", where="net.odd")

    found = asked(draft, tmp_path / "nets.py", back)
    assert found.holds is False
    assert "cannot be ported back: net.odd: there is no correspondence of the operation Odd" in found.detail


def test_answers_within_answers_come_in_their_places_and_back(tmp_path: Path) -> None:
    import keras
    from keras import layers, ops

    class Encoder(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = layers.Dense(4), layers.Dense(3)

        def call(self, x: Any) -> Any:
            return {"one": self.one(x), "more": (self.other(x), [ops.sum(x, -1, keepdims=True)])}

    keras.utils.set_random_seed(0)
    x = keras.Input((6,), name="x")
    found = Encoder()(x)
    y = layers.Dense(2)(ops.concatenate([found["one"], found["more"][0]], -1))
    source = source_of(keras.Model(x, {"y": y, "extra": found["more"]}))
    report = carry(source, to="pytorch", output=tmp_path / "nets.py", returns=True).report
    assert [rung.holds for rung in report.rungs] == [True] * 5

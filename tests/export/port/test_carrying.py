"""A torch module becomes Keras code that answers, differentiates and learns the same; what fails it is not written."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.export.port.formatting import assert_formatted
from torch import nn
from torch.nn import functional

from onnxpress.core.errors import NotEquivalent, UsageError
from onnxpress.export.port.carrying import carry
from onnxpress.export.port.draft import Draft
from onnxpress.export.port.proof.gradients import gradients
from onnxpress.export.port.proof.parameters import parameters
from onnxpress.export.port.proof.training import training
from onnxpress.export.port.refusal import NoCorrespondence
from onnxpress.export.source import Source, SourceRef
from onnxpress.export.sources.resolve import from_object

pytestmark = [pytest.mark.torch, pytest.mark.tensorflow]


class Seizures(nn.Module):
    """As public projects write them: convolutions over channels, flattened into dense layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(3, 6, 5, stride=2, padding=2)
        self.bn1 = nn.BatchNorm1d(6, momentum=0.2)
        self.conv2 = nn.Conv1d(6, 4, 3, padding=1, bias=False)
        self.drop = nn.Dropout(0.3)
        self.fc = nn.Linear(4 * 8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, 3, 16) → (batch, 2)."""
        x = torch.relu(self.bn1(self.conv1(x)))
        x = functional.dropout(torch.relu(self.conv2(x)), 0.1, self.training)
        return self.fc(self.drop(torch.flatten(x, 1)))


def source_of(module: nn.Module, example: Any) -> Source:
    return from_object(module.eval(), "net", SourceRef(reference="nets:build"), {}, example)


@pytest.fixture(scope="module")
def draft() -> Draft:
    torch.manual_seed(0)
    return Draft(source_of(Seizures(), (torch.randn(4, 3, 16),)), "nets.weights.h5")


def test_every_rung_holds_and_the_code_is_a_person_s(draft: Draft, tmp_path: Path) -> None:
    written = tmp_path / "nets.py"
    written.write_text(draft.code.text)
    rungs = {rung.name: rung for rung in draft.rungs(draft.target(written))}
    assert [name for name, rung in rungs.items() if rung.holds] == ["answers", "parameters", "gradients", "training"]
    assert any("bn1.running_var" in difference for difference in rungs["training"].differences)
    assert draft.code.inputs == [(0, 2, 1)]
    assert draft.code.transposes == 0  # the weights behind the flattening follow
    assert "momentum=0.8, epsilon=1e-05" in draft.code.text
    assert 'self.fc = Dense(2, name="fc")' in draft.code.text
    assert_formatted(written)


@pytest.mark.parametrize(
    ("right", "wrong", "rung", "said"),
    [
        ("epsilon=1e-05", "epsilon=1e-03", "answers", "the same up to conv1, another from bn1 on"),
        ("ops.relu(self.conv2(x))", "ops.elu(self.conv2(x))", "answers", "the same up to conv2, another from fc on"),
        ("ops.relu(self.conv2(x))", "ops.relu(self.conv2(x, x))", "answers", "the written code fails: "),
        ("momentum=0.8", "momentum=0.2", "training", "bn1.running_mean"),
        ("self.drop(ops.reshape(x, (-1, 32)))", "ops.reshape(x, (-1, 32))", "training", "changes no answer"),
        ("layers.Dropout(0.3", "layers.Dropout(0.5", "training", "leaves out"),
        ("layers.Dropout(0.1", "layers.Dropout(0.0", "training", "dropouts in the source"),
        ('name="conv1"', 'trainable=False, name="conv1"', "parameters", "learns in one"),
        ("ops.relu(self.conv2(x))", "ops.relu(ops.stop_gradient(self.conv2(x)))", "gradients", "the worst by"),
    ],
)
def test_a_fault_in_the_code_is_caught(
    right: str, wrong: str, rung: str, said: str, draft: Draft, tmp_path: Path
) -> None:
    assert right in draft.code.text
    written = tmp_path / "nets.py"
    written.write_text(draft.code.text.replace(right, wrong))
    target = draft.target(written)
    proof = {
        "answers": lambda: draft.answers(target),
        "parameters": lambda: parameters(draft.code, target, draft.state, draft.learning),
        "gradients": lambda: gradients(draft.sides(target)),
        "training": lambda: training(draft.sides(target)),
    }
    found = proof[rung]()
    assert found.holds is False
    assert said in found.detail


class Decoder(nn.Module):
    """With one table for what comes in and goes out, and dropout that only training shows."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(11, 8)
        self.qkv = nn.Linear(8, 24)
        self.head = nn.Linear(8, 11, bias=False)
        self.head.weight = self.table.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """(batch, time) → (batch, time, 11)."""
        x = self.table(ids)
        q, k, v = (part.unflatten(-1, (2, 4)).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=-1))
        rate = 0.2 if self.training else 0.0
        found = functional.scaled_dot_product_attention(q, k, v, dropout_p=rate, is_causal=True)
        return self.head(found.transpose(1, 2).flatten(2))


def test_a_table_is_shared_attention_is_causal_and_its_dropout_is_found_in_training_mode(tmp_path: Path) -> None:
    draft = Draft(source_of(Decoder(), (torch.randint(0, 11, (4, 6)),)), "nets.weights.h5")
    written = tmp_path / "nets.py"
    written.write_text(draft.code.text)
    assert 'self.dropout = layers.Dropout(0.2, name="dropout")' in draft.code.text
    assert [rung.holds for rung in draft.rungs(draft.target(written))] == [True] * 4


def test_what_fails_is_written_only_with_a_reason_which_the_report_keeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnxpress.export.port.proof.answers.LIMIT", -1.0)
    source = source_of(nn.Sequential(nn.Linear(3, 2)), (torch.randn(4, 3),))
    with pytest.raises(NotEquivalent, match="the port fails on answers"):
        carry(source, to="tensorflow", output=tmp_path / "n.py")
    assert not list(tmp_path.iterdir())
    found = carry(source, to="tensorflow", output=tmp_path / "n.py", accept_refusal="for a test")
    assert found.report.accepted == "for a test"
    report = json.loads((tmp_path / "n.port.json").read_text())
    assert [(rung["name"], rung["holds"]) for rung in report["rungs"]] == [
        ("answers", False),
        ("parameters", True),
        ("gradients", True),
        ("training", True),
        ("round trip", None),
    ]
    assert found.weights.is_file()


def test_what_has_no_correspondence_is_refused_by_name_and_nothing_is_written(tmp_path: Path) -> None:
    class Odd(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.linalg.qr(x)[0]

    with pytest.raises(NoCorrespondence, match=re.escape("qr")) as caught:
        carry(source_of(Odd(), (torch.randn(4, 3, 3),)), to="tensorflow", output=tmp_path / "nets.py")
    assert str(caught.value.where).startswith("test_carrying.py:")
    assert not list(tmp_path.iterdir())


def test_the_way_from_keras_writes_torch_code_and_its_weights(tmp_path: Path) -> None:
    import keras
    from safetensors.torch import load_model

    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(2)])
    source = from_object(model, "net", SourceRef(reference="m"), {})
    with pytest.raises(UsageError, match="in tensorflow already"):
        carry(source, to="tensorflow", output=tmp_path / "nets.py")
    found = carry(source, to="pytorch", output=tmp_path / "nets.py")
    assert found.report.proven
    assert found.report.to == "pytorch"
    scope: dict[str, Any] = {}
    exec(compile(found.code.read_text(), "nets.py", "exec"), scope)
    ported = scope["build"]()
    load_model(ported, found.weights)
    asked = torch.randn(5, 3)
    wanted = torch.from_numpy(model.predict(asked.numpy(), verbose=0))
    torch.testing.assert_close(ported(asked).detach(), wanted)


class FixedTypes(nn.Module):
    """Makes a matrix by a way that stays in float32, so that it cannot be computed in float64 as a whole."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, 3) → (batch, 3)."""
        return x @ torch.from_numpy(np.eye(3, dtype=np.float32))


def test_a_source_that_cannot_be_computed_in_float64_is_not_proven(tmp_path: Path) -> None:
    source = source_of(FixedTypes(), (torch.randn(4, 3),))
    with pytest.raises(NotEquivalent, match="fails on gradients: it cannot be computed in float64: RuntimeError"):
        carry(source, to="tensorflow", output=tmp_path / "nets.py")
    assert not list(tmp_path.iterdir())

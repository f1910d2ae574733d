"""Stochastic depth that a module draws by itself becomes a dropout of whole rows, and each fault in it is caught."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tests.export.port.formatting import assert_formatted
from torch import nn
from torch.nn import functional

from onnxpress.core.arrays import Array
from onnxpress.export.equivalence.cases import Case
from onnxpress.export.port.attention_kinds import refuse_other_attention
from onnxpress.export.port.draft import Draft
from onnxpress.export.port.proof.training import training
from onnxpress.export.port.refusal import NoCorrespondence
from onnxpress.export.source import SourceRef
from onnxpress.export.sources.resolve import from_object

pytestmark = [pytest.mark.torch, pytest.mark.tensorflow]


def drop_path(x: torch.Tensor, rate: float, is_training: bool) -> torch.Tensor:
    if rate == 0.0 or not is_training:
        return x
    shape = (x.shape[0],) + (1,) * (x.ndim - 1)
    mask = x.new_empty(shape).bernoulli_(1 - rate)
    mask.div_(1 - rate)
    return x * mask


class Floored(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return x
        mask = 0.7 + torch.rand((x.shape[0], 1, 1), dtype=x.dtype, device=x.device)
        return x.div(0.7) * mask.floor_()


class Compared(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            x = torch.where(torch.rand(x.size(0), 1, 1) < 0.25, torch.zeros_like(x), x / 0.75)
        return x


class Together(nn.Module):
    """One draw for all rows."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return x
        mask = torch.empty([1] * x.ndim, dtype=x.dtype).bernoulli_(0.8)
        return x * mask / 0.8


class Unscaled(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * (torch.rand(x.size(0), 1, 1) < 0.75) if self.training else x


class Skipped(nn.Module):
    """A way that a random number decides."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training and torch.rand([]) < 0.5:
            return torch.zeros_like(x)
        return x


class Deep(nn.Module):
    def __init__(self, *drops: nn.Module) -> None:
        super().__init__()
        self.before = nn.ModuleList([nn.Linear(6, 6) for _ in drops])
        self.drops = nn.ModuleList(drops)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer, drop in zip(self.before, self.drops, strict=True):
            x = x + drop(torch.tanh(layer(x)))
        return x


class Inline(nn.Module):
    """As a function, beside another dropout, with two rates; what the last draws is read by nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + drop_path(self.first(x), 0.2, self.training)
        x = functional.dropout(x, 0.1, self.training)
        x = x + drop_path(torch.relu(self.second(x)), 0.1, self.training)
        drop_path(x, 0.3, self.training)
        return x


def _draft(module: nn.Module) -> Draft:
    torch.manual_seed(0)
    example = (torch.randn(4, 5, 6),)
    return Draft(from_object(module.eval(), "net", SourceRef(reference="nets:build"), {}, example), "nets.weights.h5")


KINDS: dict[str, tuple[Callable[[], nn.Module], list[str]]] = {
    "layers": (lambda: Deep(Floored(), Compared()), ["Dropout(0.3, noise_shape=(None, 1, 1)", "0.25, noise_shape="]),
    "together": (lambda: Deep(Together()), ["Dropout(0.2, noise_shape=(1, 1, 1)"]),
    "inline": (
        Inline,
        ["(0.2, noise_shape=(None, 1, 1)", "(0.1, noise_shape=(None, 1, 1)", "layers.Dropout(0.1, name"],
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_it_becomes_a_dropout_of_whole_rows_and_trains_the_same(kind: str, tmp_path: Path) -> None:
    build, codes = KINDS[kind]
    draft = _draft(build())
    written = tmp_path / "nets.py"
    written.write_text(draft.code.text)
    assert all(rung.holds for rung in draft.rungs(draft.target(written)))
    flat = " ".join(draft.code.text.split()).replace("( ", "(")
    assert all(code in flat for code in codes)
    assert_formatted(written)


FAULTS = [
    ("Dropout(0.3, ", "Dropout(0.35, ", "leaves out"),
    ("noise_shape=(None, 1, 1)", "noise_shape=None", "in the source"),
    ("noise_shape=(None, 1, 1)", "noise_shape=(1, 1, 1)", "steps"),
    ("noise_shape=(None, 1, 1)", "noise_shape=(None, 1, 6)", "leaves out"),
    ("self.drops[0](ops.tanh(self.before[0](x)))", "ops.tanh(self.before[0](self.drops[0](x)))", "steps"),
]


@pytest.mark.parametrize(("sound", "faulty", "said"), FAULTS)
def test_a_fault_in_it_is_caught(sound: str, faulty: str, said: str, tmp_path: Path) -> None:
    draft = _draft(Deep(Floored(), Floored()))
    text = draft.code.text
    assert sound in text
    written = tmp_path / "nets.py"
    written.write_text(text.replace(sound, faulty))
    found = training(draft.sides(draft.target(written)))
    assert found.holds is False
    assert said in found.detail


@pytest.mark.parametrize("drop", [Unscaled, Skipped])
def test_another_random_way_of_training_mode_is_not_proven(drop: type[nn.Module], tmp_path: Path) -> None:
    draft = _draft(Deep(drop()))
    written = tmp_path / "nets.py"
    written.write_text(draft.code.text)
    assert "Dropout" not in draft.code.text
    assert training(draft.sides(draft.target(written))).holds is False


class Checkpointed(nn.Module):
    """Asks in training mode for gradients of what it makes of an input, as speech encoders do."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x[:, None]
        if self.training:
            x.requires_grad = True
        return self.linear(x)


def test_a_module_that_asks_for_gradients_itself_is_trained(tmp_path: Path) -> None:
    draft = _draft(Checkpointed())
    written = tmp_path / "nets.py"
    written.write_text(draft.code.text)
    assert all(rung.holds for rung in draft.rungs(draft.target(written)))


def test_attention_that_answers_otherwise_where_nothing_is_seen_is_refused() -> None:
    def network(hidden: float) -> Any:
        def run(feeds: dict[str, Array], _: str) -> dict[str, Array]:
            return {"states": np.where(feeds["attention_mask"] != 0, 1.0, hidden).astype(np.float32)[:, :, None]}

        return SimpleNamespace(run=run)

    @dataclasses.dataclass
    class Asked:
        feeds: dict[str, Array]

    def asked(*mask: int) -> list[Case]:
        return [Asked({"attention_mask": np.array([mask])})]  # type: ignore[list-item]

    refuse_other_attention(network(0.0), network(0.5), asked(0, 0, 1, 1), "nets:build")  # padding on the left
    refuse_other_attention(network(0.5), network(0.5), asked(1, 0, 1, 1), "nets:build")
    with pytest.raises(NoCorrespondence, match="sees nothing"):
        refuse_other_attention(network(0.0), network(0.5), asked(1, 0, 1, 1), "nets:build")

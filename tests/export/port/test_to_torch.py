"""A torch module traced and written as torch again answers, trains and is frozen the same, bit by bit."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.export.port.formatting import assert_formatted
from torch import nn
from torch.nn import functional

from onnxpress.core.tensors import parse_spec
from onnxpress.export.port.from_torch.blocks import block_of
from onnxpress.export.port.from_torch.structures import Given
from onnxpress.export.port.proof.building import built
from onnxpress.export.port.refusal import NoCorrespondence
from onnxpress.export.port.steps import Block
from onnxpress.export.port.to_torch.model import Code, written

pytestmark = pytest.mark.torch


class Attention(nn.Module):
    def __init__(self, features: int) -> None:
        super().__init__()
        self.score = nn.Linear(features, 1)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        weights = torch.softmax(self.score(states), dim=1)
        return (weights * states).sum(dim=1)


class Seizures(nn.Module):
    """Convolutions, two directions, attention, dropout as a layer and as a function, a frozen layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(3, 8, 5, padding=2, stride=2)
        self.norm = nn.BatchNorm1d(8, momentum=0.2)
        self.lstm = nn.LSTM(8, 6, batch_first=True, bidirectional=True)
        self.attention = Attention(12)
        self.drop = nn.Dropout(0.3)
        self.head = nn.Sequential(OrderedDict(inner=nn.Linear(12, 4), act=nn.GELU("tanh"), outer=nn.Linear(4, 2)))
        self.conv.requires_grad_(False)
        self.head.inner.bias.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> Any:
        x = functional.relu(self.norm(self.conv(x)), inplace=False)
        states, (hidden, _) = self.lstm(x.permute(0, 2, 1))
        states = functional.dropout(states, 0.1, self.training)
        return {"scores": self.head(self.drop(self.attention(states))), "last": hidden[-1]}


class Layer(nn.Module):
    """A transformer's, written out."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(8, eps=1e-6), nn.LayerNorm(8)
        self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)
        self.mlp = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))
        self.scale = nn.Parameter(torch.full((8,), 0.1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, time, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).chunk(3, dim=-1)
        q, k, v = (part.view(batch, time, 2, 4).transpose(1, 2) for part in (q, k, v))
        weights = (q @ k.transpose(-2, -1) / 4**0.5).masked_fill(torch.ones(time, time).triu(1) > 0, float("-inf"))
        x = x + self.scale * self.out((weights.softmax(-1) @ v).transpose(1, 2).reshape(batch, time, width))
        return x + self.mlp(self.norm2(x))


class Decoder(nn.Module):
    """Its table is its head too; blocks one after the other, two lists side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(11, 8, padding_idx=0)
        self.blocks = nn.ModuleList([Layer() for _ in range(3)])
        self.convs = nn.ModuleList([nn.Conv1d(8, 8, 3, padding=1) for _ in range(2)])
        self.norms = nn.ModuleList([nn.BatchNorm1d(8) for _ in range(2)])
        self.register_buffer("places", torch.randn(1, 5, 8), persistent=False)
        self.start = nn.Parameter(torch.randn(1, 1, 8))
        self.head = nn.Linear(8, 11, bias=False)
        self.head.weight = self.table.weight

    def forward(self, ids: torch.Tensor) -> Any:
        x = self.table(ids) + self.places
        for block in self.blocks:
            x = block(x)
        y = x.transpose(1, 2)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            y = norm(torch.relu(conv(y)))
        x = torch.cat([self.start.expand(x.size(0), -1, -1), y.transpose(1, 2)], 1)
        values, places = self.head(x)[:, 1:].max(-1)
        return values, places, -(x.abs().mean((1, 2)) ** 2), x[:, x.size(1) // 2 :, ::2]


class Several(nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        return x.sort(dim=-1, descending=False, stable=True).values, x.topk(2).values, x.cumsum(dim=-1)


MODELS = {
    "several": (Several, lambda n: torch.randn(n, 6), "x:float32[batch,6]"),
    "seizures": (Seizures, lambda n: torch.randn(n, 3, 16), "x:float32[batch,3,16]"),
    "decoder": (Decoder, lambda n: torch.randint(0, 11, (n, 5)), "ids:int64[batch,5]"),
    "chain": (
        lambda: nn.Sequential(
            nn.Linear(4, 8), nn.PReLU(8), nn.Sequential(nn.Dropout(0.2), nn.Identity(), nn.Linear(8, 2))
        ),
        lambda n: torch.randn(n, 4),
        "x:float32[batch,4]",
    ),
}


def ported(name: str) -> tuple[nn.Module, Code, Any]:
    torch.manual_seed(0)
    build, rows, spec = MODELS[name]
    module = build().eval()
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm1d):
            nn.init.uniform_(norm.running_var, 0.5, 2.0)
    block = block_of(module, ([Given("x", (rows(3), rows(5)))], {}))
    return module, written(block, [parse_spec(spec)], title=f"{name}, again.", weights=f"{name}.safetensors"), rows(7)


def imported(text: str, folder: Path) -> nn.Module:
    path = folder / "nets.py"
    path.write_text(text)
    return built(path, "ported_nets")


@pytest.mark.parametrize("name", MODELS)
def test_the_identity_port_is_the_same_bit_by_bit(name: str, tmp_path: Path) -> None:
    module, code, rows = ported(name)
    again = imported(code.text, tmp_path)
    again.load_state_dict(code.state)
    assert dict(module.named_parameters()).keys() == dict(again.named_parameters()).keys()
    assert [p.requires_grad for p in module.parameters()] == [p.requires_grad for p in again.parameters()]
    assert str(again) == str(module)  # every layer with what only training shows, in the source's order
    for training in (False, True):
        answers = []
        for one in (module, again):
            torch.manual_seed(1)
            answers.append(one.train(training)(rows))
        torch.testing.assert_close(answers[1], answers[0], rtol=0, atol=0)


def test_the_code_is_a_person_s(tmp_path: Path) -> None:
    texts = {name: ported(name)[1].text for name in MODELS}
    for name, text in texts.items():
        (tmp_path / f"{name}.py").write_text(text)
    assert_formatted(tmp_path)
    for line in (
        "        self.conv.requires_grad_(False)",
        "        self.head.inner.bias.requires_grad_(False)",
        "        states, (hidden, _) = self.lstm(x.permute(0, 2, 1))",
        "        states = F.dropout(states, p=0.1, training=self.training)",
    ):
        assert line in texts["seizures"].splitlines()
    for line in (
        "        self.blocks = nn.ModuleList([Layer() for _ in range(3)])",
        "        for block in self.blocks:",
        "        for conv, norm in zip(self.convs, self.norms):",
        "        self.head.weight = self.table.weight",
    ):
        assert line in texts["decoder"].splitlines()
    assert "class" not in texts["chain"]


def test_a_variable_is_kept_until_the_expression_that_reads_it_is_placed(tmp_path: Path) -> None:
    class Late(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = x
            x = self.second(x)
            return self.first(y * 2) + x + torch.relu(self.first(x) + 1)

    module = Late().eval()
    block = block_of(module, ([Given("x", (torch.randn(3, 4), torch.randn(5, 4)))], {}))
    for step in block.steps:
        step.variables = ()  # as of a source that names none
    code = written(block, [parse_spec("x:float32[batch,4]")], title="t", weights="w")
    again = imported(code.text, tmp_path)
    again.load_state_dict(code.state)
    rows = torch.randn(7, 4)
    assert torch.equal(again(rows), module(rows))


def test_a_layer_with_a_hook_is_refused() -> None:
    module = nn.Sequential(nn.Linear(4, 4))
    module[0].register_forward_hook(lambda *_: None)
    with pytest.raises(NoCorrespondence, match="has hooks"):
        written(
            block_of(module, ([Given("x", (torch.randn(3, 4), torch.randn(5, 4)))], {})), [], title="t", weights="w"
        )


def test_a_function_that_torch_has_not_is_refused_by_its_line() -> None:
    module = nn.Sequential(nn.Linear(4, 4))
    block = block_of(module, ([Given("x", (torch.randn(3, 4), torch.randn(5, 4)))], {}))
    block.steps[1].kind, block.steps[1].name, block.steps[1].where = "function", "lineal", "nets.py:3"
    with pytest.raises(NoCorrespondence, match="no function lineal") as caught:
        written(Block(nn.Module(), block.steps, {}), [], title="t", weights="w")
    assert caught.value.where == "nets.py:3"

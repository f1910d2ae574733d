"""Layers that torch has not: their source stands in the written module, so it is written as a person keeps it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as the written module calls it

from onnxpress.export.port.code import literal

# what is written says no types
# mypy: disable-error-code="no-untyped-def, no-untyped-call"


class GaussianNoise(nn.Module):
    """Noise of this deviation, in training alone."""

    def __init__(self, stddev):
        super().__init__()
        self.stddev = stddev

    def forward(self, x):
        if not self.training:
            return x
        return x + self.stddev * torch.randn_like(x)


class GaussianDropout(nn.Module):
    """In training each value times noise around one, as wide as that of a dropout."""

    def __init__(self, rate):
        super().__init__()
        self.rate = rate

    def forward(self, x):
        if not self.training:
            return x
        deviation = (self.rate / (1 - self.rate)) ** 0.5
        return x * (1 + deviation * torch.randn_like(x))


class LoopedLSTM(nn.Module):
    """An LSTM step by step, for activations that nn.LSTM has not.

    It takes and answers what nn.LSTM does with batch_first.
    """

    def __init__(self, features, units, activation, gate, bias=True):
        super().__init__()
        self.hidden_size = units
        self.activation = activation
        self.gate = gate
        self.input = nn.Linear(features, 4 * units, bias=bias)
        self.recurrent = nn.Linear(units, 4 * units, bias=False)

    def forward(self, x, states=None):
        if states is None:
            hidden = cell = x.new_zeros(len(x), self.hidden_size)
        else:
            hidden, cell = states[0][0], states[1][0]
        every = []
        for step in self.input(x).unbind(1):
            i, f, g, o = (step + self.recurrent(hidden)).chunk(4, dim=-1)
            cell = self.gate(f) * cell + self.gate(i) * self.activation(g)
            hidden = self.gate(o) * self.activation(cell)
            every.append(hidden)
        return torch.stack(every, dim=1), (hidden.unsqueeze(0), cell.unsqueeze(0))


class ResetBeforeGRU(nn.Module):
    """A GRU step by step that resets the state before the product, as nn.GRU does not.

    It takes and answers what nn.GRU does with batch_first.
    """

    def __init__(self, features, units, activation, gate, bias=True):
        super().__init__()
        self.hidden_size = units
        self.activation = activation
        self.gate = gate
        self.input = nn.Linear(features, 3 * units, bias=bias)
        self.gates = nn.Linear(units, 2 * units, bias=False)
        self.candidate = nn.Linear(units, units, bias=False)

    def forward(self, x, states=None):
        hidden = x.new_zeros(len(x), self.hidden_size) if states is None else states[0]
        every = []
        for step in self.input(x).unbind(1):
            z, r, n = step.chunk(3, dim=-1)
            more_z, more_r = self.gates(hidden).chunk(2, dim=-1)
            kept = self.gate(r + more_r) * hidden
            update = self.gate(z + more_z)
            new = self.activation(n + self.candidate(kept))
            hidden = update * hidden + (1 - update) * new
            every.append(hidden)
        return torch.stack(every, dim=1), hidden.unsqueeze(0)


ACTIVATIONS: dict[str, tuple[Callable[..., Any], str]] = {
    "tanh": (torch.tanh, "torch.tanh"), "relu": (torch.relu, "torch.relu"), "sigmoid": (torch.sigmoid, "torch.sigmoid"),
    "elu": (F.elu, "F.elu"), "selu": (F.selu, "F.selu"), "softplus": (F.softplus, "F.softplus"),
    "softsign": (F.softsign, "F.softsign"), "silu": (F.silu, "F.silu"), "gelu": (F.gelu, "F.gelu"),
    "hard_sigmoid": (F.hardsigmoid, "F.hardsigmoid"), "relu6": (F.relu6, "F.relu6"),
}  # fmt: skip
"""Keras's activation → torch's function, and how it is written"""
_CODES = dict(ACTIVATIONS.values())


def _recurrent(layer: Any) -> list[str]:
    found = [str(layer.input.in_features), str(layer.hidden_size), _CODES[layer.activation], _CODES[layer.gate]]
    return [*found, *([] if layer.input.bias is not None else ["bias=False"])]


_ARGUMENTS: dict[type[nn.Module], Callable[[Any], list[str]]] = {
    GaussianNoise: lambda layer: [literal(layer.stddev)],
    GaussianDropout: lambda layer: [literal(layer.rate)],
    LoopedLSTM: _recurrent,
    ResetBeforeGRU: _recurrent,
}


def is_own(layer: Any) -> bool:
    """Whether it is one of these."""
    return type(layer) in _ARGUMENTS


def arguments(layer: nn.Module) -> list[str]:
    """Those of the call that makes it."""
    return _ARGUMENTS[type(layer)](layer)


def source(layer: nn.Module) -> list[str]:
    """The lines of its class, its name as \\0."""
    kind = type(layer)
    lines = inspect.getsource(kind).rstrip("\n").split("\n")
    return [line.replace(f"class {kind.__name__}(", "class \0(") for line in lines]

"""Faults planted in torch code that was ported, as a person makes them: in the code, or in how weights are put."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from onnxpress.export.port.from_keras.shared import Carried
from onnxpress.export.port.keras_draft import KerasDraft


@dataclass(frozen=True)
class TorchFault:
    """A kind of fault, where it is, and what it makes of a draft that is a copy."""

    kind: str
    place: str
    plant: Callable[[KerasDraft], None]

    def in_draft(self, draft: KerasDraft) -> KerasDraft:
        """The draft with this fault; the draft itself stays sound."""
        faulty = copy.copy(draft)
        self.plant(faulty)
        return faulty


def planted_in_torch(draft: KerasDraft) -> Iterator[TorchFault]:
    """Every fault that this code has a place for."""
    text = draft.code.text
    for kind, pattern, instead in _EDITS:
        for match in re.finditer(pattern, text):
            new = match.expand(instead) if isinstance(instead, str) else instead(match)
            if new != match[0]:
                line = text[: match.start()].count("\n") + 1
                faulty = text[: match.start()] + new + text[match.end() :]
                yield TorchFault(kind, f"line {line}: {match[0].strip()}", _written(faulty))
    for number, one in enumerate(draft.translated.carried):
        name = one.name.rpartition(".")[2]
        if name.startswith(("weight_ih", "weight_hh")):
            yield TorchFault("gate order", one.name, _put(number, one, _gates_swapped))
        elif name == "weight" and draft.state[one.name].ndim > 1:
            yield TorchFault("transposed kernel", one.name, _put(number, one, _transposed))
        elif name == "bias":
            yield TorchFault("bias lost", one.name, _put(number, one, np.zeros_like))
    if any("torch's loop must" in difference for difference in draft.translated.differences):
        yield TorchFault("regulariser not named", "report", _unnamed)


def _written(text: str) -> Callable[[KerasDraft], None]:
    def plant(draft: KerasDraft) -> None:
        draft.code = replace(draft.code, text=text)

    return plant


def _put(number: int, one: Carried, change: Callable[[Any], Any]) -> Callable[[KerasDraft], None]:
    """The parameter is what `change` makes of it, wherever it is carried."""

    def plant(draft: KerasDraft) -> None:
        import torch

        wrong = replace(one, carry=lambda *arrays: change(one.carry(*arrays)))
        carried = [wrong if n == number else other for n, other in enumerate(draft.translated.carried)]
        draft.translated = replace(draft.translated, carried=carried)
        value = np.ascontiguousarray(change(draft.state[one.name].numpy()))
        draft.state = {**draft.state, one.name: torch.from_numpy(value)}

    return plant


def _unnamed(draft: KerasDraft) -> None:
    draft.translated = replace(draft.translated, differences=[])


def _gates_swapped(array: Any) -> Any:
    """The first two gates exchanged; an LSTM has four, a GRU three."""
    gates = 4 if array.shape[0] % 4 == 0 else 3
    parts = np.split(array, gates, axis=0)
    return np.concatenate([parts[1], parts[0], *parts[2:]], axis=0)


def _transposed(array: Any) -> Any:
    """Two axes of one size exchanged; of a kernel that has none it is turned round."""
    for a in range(array.ndim):
        for b in range(a + 1, array.ndim):
            if array.shape[a] == array.shape[b] > 1:
                return np.swapaxes(array, a, b)
    return array.T.reshape(array.shape)


_EDITS: tuple[tuple[str, str, str | Callable[[re.Match[str]], str]], ...] = (
    ("epsilon", r"eps=([\d.e-]+)", lambda m: f"eps={1e-3 if float(m[1]) < 5e-4 else 1e-5}"),
    ("momentum", r"(?<=, )momentum=([\d.]+)", lambda m: f"momentum={round(1 - float(m[1]), 6)}"),
    ("GELU form", r'approximate="tanh"', 'approximate="none"'),
    ("GELU form", r"F\.gelu\((?![^\n]*approximate)", 'F.gelu(approximate="tanh", input='),
    ("padding", r"F\.pad\((\w+), \((\d+), (\d+)\b", r"F.pad(\1, (\3, \2"),
    ("padding", r"count_include_pad=False", "count_include_pad=True"),
    ("dropout left out", r"nn\.(\w*Dropout\w*)\((0\.\d+)", r"nn.\1(0.0"),
    ("dropout rate", r"nn\.Dropout\((0\.\d+)", lambda m: f"nn.Dropout({round(min(0.9, float(m[1]) + 0.2), 3)}"),
    ("dropout not called", r"self\.((?:\w*_)?drop\w*)\((\w+)\)", r"\2"),
    (
        "learning layer frozen",
        r"        self\.apply\(like_keras\)",
        lambda m: f"{m[0]}\n        next(self.parameters()).requires_grad_(False)",
    ),
    ("frozen layer trained", r"requires_grad_\(False\)", "requires_grad_(True)"),
    ("norm in inference mode", r"self\.(batch_norm\w*|\w*bn\w*|norm\w*)\((\w+)\)", r"self.\1.eval()(\2)"),
    ("gradient cut", r"return self\.(\w+)\((\w+)\)", r"return self.\1(\2.detach())"),
    ("slope", r"negative_slope=([\d.]+)", lambda m: f"negative_slope={0.3 if float(m[1]) < 0.3 else 0.01}"),
    ("activation", r"torch\.relu\(", "torch.tanh("),
    ("tanh for sigmoid", r"torch\.sigmoid\(", "torch.tanh("),
    ("softmax axis", r"torch\.softmax\((.*), dim=(-?1)\)", lambda m: f"torch.softmax({m[1]}, dim={-int(m[2])})"),
    ("layout of flatten", r"(\w+)\.flatten\(1\)", r"\1.transpose(1, -1).flatten(1)"),
    ("layout of flatten", r"torch\.flatten\((\w+), 1\)", r"torch.flatten(\1.transpose(1, -1), 1)"),
    ("mask", r" != 0\b", " != 1"),
    ("mask", r" >= (?!0)", " > "),
    ("regulariser lost", r"def penalty\(", "def unused("),
    ("regulariser's factor", r"(loss \+?=|return) ([\d.e-]+) \* (?=model|sum)", r"\1 2 * \2 * "),
    ("constraint lost", r"def constrain\(", "def unused_bounds("),
    ("constraint's norm", r"max=([\d.e-]+)\) / \(norms", r"max=0.5 * \1) / (norms"),
    ("tie lost", r"        self\.[\w.]+\.weight = self\.[\w.]+\.weight\n", lambda _: ""),
)

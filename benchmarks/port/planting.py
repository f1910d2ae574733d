"""Faults planted in Keras code that was ported, as a person makes them: in the code, or in how weights are put."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from onnxpress.export.port.draft import Draft
from onnxpress.export.port.to_keras.model import Code
from onnxpress.export.port.to_keras.writer import Carried


@dataclass(frozen=True)
class Fault:
    """A kind of fault, where it is, and the code with it."""

    kind: str
    place: str
    code: Code

    def in_draft(self, draft: Draft) -> Draft:
        """The draft with this fault; the draft itself stays sound."""
        faulty = copy.copy(draft)
        faulty.code = self.code
        return faulty


def planted(code: Code) -> Iterator[Fault]:
    """Every fault that this code has a place for."""
    for kind, pattern, instead in _EDITS:
        for match in re.finditer(pattern, code.text):
            new = match.expand(instead) if isinstance(instead, str) else instead(match)
            if new != match[0]:
                text = code.text[: match.start()] + new + code.text[match.end() :]
                line = code.text[: match.start()].count("\n") + 1
                yield Fault(kind, f"line {line}: {match[0]}", replace(code, text=text))
    yield from _lost_biases(code)
    for number, one in enumerate(code.carried):
        for kind, wrong in _wrongly_put(one):
            carried = [*code.carried[:number], wrong, *code.carried[number + 1 :]]
            yield Fault(kind, ".".join(map(str, one.path)), replace(code, carried=carried))


def _other_epsilon(match: re.Match[str]) -> str:
    value = float(match[1])
    return f"epsilon={1e-3 if value < 5e-4 else 1e-5}"


def _turned(match: re.Match[str]) -> str:
    value = match[1] or match[2]
    return f"momentum={round(1 - float(value), 6)}"


def _asymmetric(match: re.Match[str]) -> str:
    """All of the padding at the end, as Keras's `same` does under a stride."""
    rank, width = int(match[1]), int(match[2])
    pair = f"(0, {2 * width})"
    return f"ZeroPadding{rank}D({pair if rank == 1 else '(' + ', '.join([pair] * rank) + ')'})"


def _frozen(match: re.Match[str]) -> str:
    return f"{match[1]}, trainable=False, name="


_EDITS: tuple[tuple[str, str, str | Callable[[re.Match[str]], str]], ...] = (
    ("epsilon", r"epsilon=([\d.e-]+)", _other_epsilon),
    ("momentum", r"(?<=\()momentum=([\d.]+)|(?<=, )momentum=([\d.]+)", _turned),
    ("GELU form", r"approximate=(True|False)", lambda m: f"approximate={m[1] != 'True'}"),
    ("GELU form", r"Activation\(exact_gelu", 'Activation("gelu"'),
    ("padding", r"ZeroPadding(\d)D\((\d)\)", _asymmetric),
    ("padding", r'padding="same"', 'padding="valid"'),
    ("padding", r'constant_values=-float\("inf"\)', "constant_values=0.0"),
    ("dropout left out", r"Dropout\((0\.\d+)", "Dropout(0.0"),
    ("dropout rate", r"Dropout\((0\.\d+)", lambda m: f"Dropout({round(min(0.9, float(m[1]) + 0.2), 3)}"),
    ("dropout not called", r"self\.(drop\w*)\((\w+)\)", r"\2"),
    ("learning layer frozen", r"((?<!class )\b(?:Dense|Conv\dD)\([^\n]*?), name=", _frozen),
    ("norm in inference mode", r"self\.(bn\w*|norm\w*)\((\w+)\)", r"self.\1(\2, training=False)"),
    ("gradient cut", r"return self\.(\w+)\((\w+)\)", r"return self.\1(ops.stop_gradient(\2))"),
    ("slope", r"negative_slope=([\d.]+)", lambda m: f"negative_slope={0.3 if float(m[1]) < 0.3 else 0.01}"),
    ("activation", r"ops\.relu\(", "ops.elu("),
    ("activation", r"layers\.ReLU\(\)", 'layers.Activation("silu")'),
    ("softmax axis", r"ops\.softmax\((.*), axis=1\)", r"ops.softmax(\1, axis=-1)"),
    ("softmax axis", r"ops\.softmax\((.*), axis=-1\)", r"ops.softmax(\1, axis=-2)"),
    ("layout of flatten", r"ops\.reshape\((\w+), \(-1, (\d+)\)\)", r"ops.reshape(ops.swapaxes(\1, 1, -1), (-1, \2))"),
    ("mask", r"(rows\S*) >= ", r"\1 > "),
    ("mask", r" != 0\b", " != 1"),
    ("tie lost", r"self\.\w+\.embeddings", lambda m: f"ops.stop_gradient({m[0]})"),
    ("frozen layer trained", "trainable=False", "trainable=True"),
    ("tanh for sigmoid", r"ops\.sigmoid\(", "ops.tanh("),
)


def _lost_biases(code: Code) -> Iterator[Fault]:
    """A layer without its bias, of which then nothing is carried either."""
    for match in re.finditer(r'(?<!class )\b(Dense|Conv\dD)\((?![^\n]*use_bias)([^\n]*?)name="(\w+)"\)', code.text):
        name = match[3]
        kept = [one for one in code.carried if one.path[-1] != "bias" or name not in one.path]
        if len(kept) == len(code.carried) - 1:
            new = f'{match[1]}({match[2]}use_bias=False, name="{name}")'
            text = code.text[: match.start()] + new + code.text[match.end() :]
            yield Fault("bias lost", name, replace(code, text=text, carried=kept))


def _wrongly_put(one: Carried) -> Iterator[tuple[str, Carried]]:
    """The weight put in another order, where its shape does not forbid it."""

    def after(change: Callable[[Any], Any]) -> Carried:
        return replace(one, carry=lambda *arrays: change(one.carry(*arrays)))

    name = one.sources[0].rpartition(".")[2]
    if name.startswith(("weight_ih", "weight_hh")):
        yield "gate order", after(_gates_swapped)
    elif one.path[-1] == "kernel":
        yield "transposed kernel", after(_transposed)


def _gates_swapped(array: Any) -> Any:
    """The first two gates exchanged; an LSTM has four, a GRU three."""
    for gates in (4, 3):
        size = array.shape[-1] // gates
        if array.shape[-1] == gates * size:
            parts = np.split(array, gates, axis=-1)
            return np.concatenate([parts[1], parts[0], *parts[2:]], axis=-1)
    return array


def _transposed(array: Any) -> Any:
    """Two axes of one size exchanged; of a kernel that has none it is turned round."""
    for a in range(array.ndim):
        for b in range(a + 1, array.ndim):
            if array.shape[a] == array.shape[b] > 1:
                return np.swapaxes(array, a, b)
    return array.T.reshape(array.shape)

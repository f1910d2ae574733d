"""LSTM, GRU and plain recurrence, their gates in torch's order."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from onnxpress.core.arrays import Array
from onnxpress.export.port.from_onnx.axes import permuted
from onnxpress.export.port.from_onnx.nodes import operator
from onnxpress.export.port.from_onnx.reader import Carry, Reading, Val

_GATES = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}
"""at each place in torch's order (i f g o, r z n) the place in ONNX's (i o f c, z r h)"""
_USUAL = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}


def _cut(kind: str, direction: int, part: slice = slice(None)) -> Carry:
    """Of all directions' weights or biases: one direction's part, its gates in torch's order."""

    def carried(a: Array) -> Array:
        one = a[direction][part]
        gates = one.reshape(len(_GATES[kind]), -1, *one.shape[1:])
        found: Array = np.concatenate([gates[place] for place in _GATES[kind]])
        return found

    return carried


@operator("LSTM", "GRU", "RNN")
def _recurrent(
    r: Reading, attributes: Any, x: Val, w: Val, u: Val, b: Val | None = None, lengths: Val | None = None,
    hidden: Val | None = None, cell: Val | None = None, peepholes: Val | None = None,
) -> tuple[Val | None, ...]:  # fmt: skip
    kind = r.node.op_type
    direction = attributes.get("direction", b"forward").decode()
    directions = 2 if direction == "bidirectional" else 1
    _refuse_unusual(r, attributes, kind, directions, peepholes)
    several = lengths if lengths is not None and not _whole(lengths, x) else None
    if attributes.get("layout"):
        raise r.refuse(f"{kind} with the rows first has no correspondence")
    weights = r.constant(w)
    units = weights.shape[1] // len(_GATES[kind])
    step = r.step(x)
    rows_first = step is not None and step.kind == "function" and step.name == "permute"
    taken = permuted(r, x, (1, 0, 2)) if rows_first else x
    time = 1 if rows_first else 0
    total = taken.size(time) or (r.call("size", taken, time) if several is not None else None)
    if several is not None:
        if direction == "reverse":
            raise r.refuse(f"{kind} backwards over rows of several lengths has no correspondence")
        until = r.call("cpu", r.tensor(several))
        taken = r.call("pack_padded_sequence", taken, until, batch_first=rows_first, enforce_sorted=False)
    if direction == "reverse":
        taken = r.call("flip", taken, (time,))
    options: dict[str, Any] = {"bias": b is not None, "batch_first": rows_first, "bidirectional": directions == 2}
    if kind == "RNN" and _activations(attributes, kind, directions)[0] == "Relu":
        options["nonlinearity"] = "relu"
    module = getattr(nn, kind)(weights.shape[2], units, **options)
    given: dict[str, Any] = {}
    for number in range(directions):
        end = "_reverse" if number else ""
        given[f"weight_ih_l0{end}"] = (w, _cut(kind, number))
        given[f"weight_hh_l0{end}"] = (u, _cut(kind, number))
        if b is not None:
            half = len(_GATES[kind]) * units
            given[f"bias_ih_l0{end}"] = (b, _cut(kind, number, slice(half)))
            given[f"bias_hh_l0{end}"] = (b, _cut(kind, number, slice(half, None)))
    state = _state(r, hidden, cell)
    found = r.placed(kind.lower(), module, given, taken, *([state] if state is not None else []))
    states = r.part(found, 0)
    if several is not None:
        padded = r.call("pad_packed_sequence", states, batch_first=rows_first, total_length=total)
        states = r.part(padded, 0)
    if direction == "reverse":
        states = r.call("flip", states, (time,))
    if rows_first:
        states = r.call("permute", states, (1, 0, 2))
    outputs = list(r.node.output) + [""] * 3
    y = None
    if outputs[0] and r.uses.get(outputs[0]):
        if directions == 1:
            y = r.call("unsqueeze", states, 1)
        else:
            y = permuted(r, r.call("unflatten", states, -1, (2, units)), (0, 2, 1, 3))
    last: list[Val | None] = [None, None]
    if kind == "LSTM":
        last = [r.part(found, 1, n) if outputs[n + 1] and r.uses.get(outputs[n + 1]) else None for n in (0, 1)]
    elif outputs[1] and r.uses.get(outputs[1]):
        last[0] = r.part(found, 1)
    return y, *last


def _activations(attributes: Any, kind: str, directions: int) -> tuple[str, ...]:
    given = tuple(name.decode() for name in attributes.get("activations", []))
    return given or _USUAL[kind] * directions


def _whole(lengths: Val, x: Val) -> bool:
    """Whether every row is as long as there are steps, whatever is asked."""
    return (lengths.fixed or lengths.const is not None) and all(
        bool((np.asarray(length) == value.shape[0]).all()) for length, value in zip(lengths.pair, x.pair, strict=True)
    )


def _refuse_unusual(r: Reading, attributes: Any, kind: str, directions: int, peepholes: Val | None) -> None:
    functions = _activations(attributes, kind, directions)
    usual = [_USUAL[kind] * directions] + ([("Relu",) * directions] if kind == "RNN" else [])
    if functions not in usual or attributes.get("clip") or attributes.get("input_forget"):
        raise r.refuse(f"{kind} with these activations, or a clip, has no correspondence")
    if kind == "GRU" and not attributes.get("linear_before_reset"):
        raise r.refuse("GRU that resets before its product has no correspondence", hint="linear_before_reset=1 has one")
    if peepholes is not None and np.any(r.constant(peepholes)):
        raise r.refuse("LSTM with peepholes has no correspondence")


def _state(r: Reading, hidden: Val | None, cell: Val | None) -> Any:
    """What it begins with, where that is more than zeros."""
    given = [value for value in (hidden, cell) if value is not None]
    if all((v.fixed or v.const is not None) and not any(bool(one.any()) for one in v.pair) for v in given):
        return None
    tensors = tuple(r.tensor(value) for value in given)
    if r.node.op_type == "LSTM" and len(tensors) != 2:
        raise r.refuse("LSTM that begins with one of its two states has no correspondence")
    return tensors if r.node.op_type == "LSTM" else tensors[0]

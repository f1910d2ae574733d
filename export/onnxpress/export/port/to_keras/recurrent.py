"""LSTM, GRU and the plain recurrent layer: gates, biases, directions and several layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.export.port.code import identifier, literal
from onnxpress.export.port.layout import Value
from onnxpress.export.port.to_keras.making import (
    frozen,
    register,
)
from onnxpress.export.port.to_keras.writer import Carried, Writer, free


@register("LSTM", "GRU", "RNN")
def _recurrent(w: Writer, module: Any, x: Value, hx: Any = None) -> Value:
    kind = type(module).__name__
    if getattr(module, "proj_size", 0) or hx is not None:
        raise w.refuse(f"{kind} with a projection or a state that is given has no correspondence yet")
    if kind == "RNN" and module.nonlinearity not in ("tanh", "relu"):
        raise w.refuse("this RNN has no correspondence")
    time_first = not module.batch_first
    if x.rank != 3:
        raise w.refuse(f"{kind} without a batch axis has no correspondence")
    x = w.in_layout(w.settle(w.made(x)), (1, 0, 2) if time_first else (0, 1, 2), "rows, time, features")
    wants_state = w.is_second_read()
    states: list[str] = []
    code = x.code
    base = free(identifier(w.step.name))
    for number in range(module.num_layers):
        name = base if module.num_layers == 1 else f"{base}_{number}"
        _recurrent_layer(w, module, kind, number, name, wants_state)
        if wants_state:
            names = [
                w.fresh(n)
                for n in ["x", *_state_names(kind, module.bidirectional, number if module.num_layers > 1 else None)]
            ]
            for n in names:  # kept until the step is done
                w.names[n] = w.step.number
            w.lines.append(f"{', '.join(names)} = self.{name}({code})")
            states += names[1:]
            code = names[0]
        else:
            code = f"self.{name}({code})"
        if module.dropout and number < module.num_layers - 1:
            w.init.append(
                f'self.{name}_dropout = layers.Dropout({literal(float(module.dropout))}, name="{name}_dropout")'
            )
            code = f"self.{name}_dropout({code})"
    shown = w.step.shown
    output = Value(code, shown[0], x.perm)
    if not wants_state:
        return Value(code, shown, parts=[output, Value("", shown[1])])
    kept = states if kind != "LSTM" else states[0::2]
    hidden = Value(
        f"ops.stack([{', '.join(kept)}])", shown[1] if kind != "LSTM" else shown[1][0], (0, 1, 2), items=kept
    )
    if kind != "LSTM":
        return Value(code, shown, parts=[output, hidden])
    cell = Value(f"ops.stack([{', '.join(states[1::2])}])", shown[1][1], (0, 1, 2), items=states[1::2])
    return Value(code, shown, parts=[output, Value("", shown[1], parts=[hidden, cell])])


def _state_names(kind: str, both: bool, number: int | None) -> list[str]:
    tail = "" if number is None else f"_{number}"
    each = ["state", "cell"] if kind == "LSTM" else ["state"]
    return [f"{n}{way}{tail}" for way in (("_forward", "_backward") if both else ("",)) for n in each]


def _recurrent_layer(w: Writer, module: Any, kind: str, number: int, name: str, state: bool) -> None:
    if name in w.attributes:
        return
    w.attributes[name] = True
    units = module.hidden_size
    still = frozen(w, w.step.name, [n for n, _ in module.named_parameters()])
    options = ["return_sequences=True", *(["return_state=True"] if state else [])]
    if kind == "RNN" and module.nonlinearity == "relu":
        options.append('activation="relu"')
    if not module.bias:
        options.append("use_bias=False")
    elif kind == "LSTM":
        options.append("unit_forget_bias=False")
    options.append(f"**recurrent_like_torch({units})")
    w.shared.helpers.add("recurrent_like_torch")
    tail = [*(["trainable=False"] if still else []), f'name="{name}"']
    cls = {"LSTM": "LSTM", "GRU": "GRU", "RNN": "SimpleRNN"}[kind]
    if module.bidirectional:
        line = f"layers.Bidirectional(layers.{cls}({units}, {', '.join(options)}), {', '.join(tail)})"
    else:
        line = f"layers.{cls}({units}, {', '.join([*options, *tail])})"
    w.init.append(f"self.{name} = {line}")
    gates = _gates(kind, units)
    for way in range(2 if module.bidirectional else 1):
        suffix = f"_l{number}" + ("_reverse" if way else "")
        inner = (("forward_layer", "backward_layer")[way], "cell") if module.bidirectional else ("cell",)
        full = w.full(w.step.name)
        w.carried.append(Carried((name, *inner, "kernel"), (f"{full}.weight_ih{suffix}",), lambda a: gates(a).T))
        w.carried.append(
            Carried((name, *inner, "recurrent_kernel"), (f"{full}.weight_hh{suffix}",), lambda a: gates(a).T)
        )
        if module.bias:
            both = (f"{full}.bias_ih{suffix}", f"{full}.bias_hh{suffix}")
            if kind == "GRU":
                w.carried.append(Carried((name, *inner, "bias"), both, lambda a, b: np.stack([gates(a), gates(b)])))
            else:
                w.carried.append(
                    Carried((name, *inner, "bias"), both, lambda a, b: gates(a) + gates(b), "two biases in one")
                )


def _gates(kind: str, units: int) -> Callable[[Array], Array]:
    """Torch's order of gates, on the first axis, as Keras's."""
    if kind != "GRU":
        return lambda a: a
    return lambda a: np.concatenate([a[units : 2 * units], a[:units], a[2 * units :]])

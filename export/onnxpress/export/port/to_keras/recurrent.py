"""LSTM, GRU and the plain recurrent layer: gates, biases, directions and several layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.export.port.code import identifier, literal
from onnxpress.export.port.layout import Value, identity
from onnxpress.export.port.steps import Shown, refs
from onnxpress.export.port.to_keras.axes import unpacked
from onnxpress.export.port.to_keras.making import (
    add,
    frozen,
    make,
    register,
)
from onnxpress.export.port.to_keras.registry import function
from onnxpress.export.port.to_keras.writer import Carried, Writer, free


@register("LSTM", "GRU", "RNN")
def _recurrent(w: Writer, module: Any, x: Value, hx: Any = None) -> Value:
    kind = type(module).__name__
    if kind == "RNN" and module.nonlinearity not in ("tanh", "relu"):
        raise w.refuse("this RNN has no correspondence")
    time_first = not module.batch_first
    mask = x.mask
    size = getattr(module, "proj_size", 0)
    if mask and size:
        raise w.refuse("a packed sequence into an LSTM with a projection has no correspondence")
    if not mask and x.rank != 3:
        raise w.refuse(f"{kind} without a batch axis has no correspondence")
    x = w.in_layout(w.settle(w.made(x)), (1, 0, 2) if time_first else (0, 1, 2), "rows, time, features")
    wants_state = w.is_second_read()
    begun = None if hx is None or _is_zero(w) else _begun(w, kind, hx)
    states: list[str] = []
    code = x.code
    base = free(identifier(w.step.name))
    each = (2 if kind == "LSTM" else 1) * (2 if module.bidirectional else 1)
    for number in range(module.num_layers):
        name = base if module.num_layers == 1 else f"{base}_{number}"
        _recurrent_layer(w, module, kind, number, name, wants_state, masked=bool(mask))
        given = _initial(begun, number, each) + (f", mask={mask}" if mask else "")
        if wants_state:
            called = unpacked(w, 2)[0] if number == module.num_layers - 1 else "x"
            of_states = _state_names(kind, module.bidirectional, number if module.num_layers > 1 else None)
            names = [w.fresh(n) for n in ["x" if called == "part_0" else called, *of_states]]
            for n in names:  # kept until the step is done
                w.names[n] = w.step.number
            w.lines.append(f"{', '.join(names)} = self.{name}({code}{given})")
            states += names[1:]
            code = names[0]
        else:
            code = f"self.{name}({code}{given})"
        if module.dropout and number < module.num_layers - 1:
            w.init.append(
                f'self.{name}_dropout = layers.Dropout({literal(float(module.dropout))}, name="{name}_dropout")'
            )
            code = f"self.{name}_dropout({code})"
    shown = w.step.shown
    width = (size or module.hidden_size) * (2 if module.bidirectional else 1)
    steps = Shown((*x.shown.first[:2], width), (*x.shown.second[:2], width), x.shown.dtype)
    output = Value(code, steps if mask else shown[0], x.perm, mask=mask)
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


def _is_zero(w: Writer) -> bool:
    """Whether the state that is given is nothing but zeros, as it is where none is given."""
    by_number = {step.number: step for step in w.block.steps}
    left = [by_number[ref.number] for ref in refs((w.step.args[1:], w.step.kwargs))]
    while left:
        step = left.pop()
        if step.kind != "function" or step.name not in (*_ZEROS, "to", "float", "requires_grad", "detach", "type_as"):
            return False
        if step.name not in _ZEROS:
            left += [by_number[ref.number] for ref in list(refs(step.args))[:1]]
    return True


_ZEROS = ("zeros", "zeros_like", "new_zeros")


def _begun(w: Writer, kind: str, hx: Any) -> list[str]:
    """The code of every state that is given, as Keras takes them: of an LSTM each followed by its cell."""
    parts = [hx] if kind != "LSTM" else (list(hx.parts or ()) if isinstance(hx, Value) else list(hx))
    each = []
    for part in parts:
        part = w.made(part)
        count = part.shown.first[0]
        plain = w.plain(part)
        each.append(part.items or [f"{w.operand(plain)}[{n}]" for n in range(count)])
    return [code for states in zip(*each, strict=True) for code in states]


def _initial(begun: list[str] | None, number: int, each: int) -> str:
    return "" if begun is None else f", initial_state=[{', '.join(begun[number * each : (number + 1) * each])}]"


def _state_names(kind: str, both: bool, number: int | None) -> list[str]:
    tail = "" if number is None else f"_{number}"
    each = ["state", "cell"] if kind == "LSTM" else ["state"]
    return [f"{n}{way}{tail}" for way in (("_forward", "_backward") if both else ("",)) for n in each]


def _recurrent_layer(
    w: Writer, module: Any, kind: str, number: int, name: str, state: bool, *, masked: bool = False
) -> None:
    if name in w.attributes:
        return
    w.attributes[name] = True
    units = module.hidden_size
    # Where two biases are one, the second may be frozen: the first learns for both.
    second = "bias_hh" if kind != "GRU" else "-"
    still = frozen(w, w.step.name, [n for n, _ in module.named_parameters() if not n.startswith(second)])
    options = ["return_sequences=True", *(["return_state=True"] if state else [])]
    if masked:
        options.append("zero_output_for_mask=True")
    if kind == "RNN" and module.nonlinearity == "relu":
        options.append('activation="relu"')
    if not module.bias:
        options.append("use_bias=False")
    elif kind == "LSTM":
        options.append("unit_forget_bias=False")
    options.append(f"**recurrent_like_torch({units})")
    tail = [*(["trainable=False"] if still else []), f'name="{name}"']
    size = getattr(module, "proj_size", 0)
    cls, given = _KERAS[kind], str(units)
    if size:
        w.shared.helpers |= {"like_torch", "ProjectedLSTMCell"}
        cls, given = "RNN", f"ProjectedLSTMCell({units}, {size}{'' if module.bias else ', use_bias=False'})"
        options = options[: 1 + state]
    else:
        w.shared.helpers |= {"like_torch", "recurrent_like_torch"}
    if module.bidirectional:
        line = f"layers.Bidirectional(layers.{cls}({given}, {', '.join(options)}), {', '.join(tail)})"
    else:
        line = f"layers.{cls}({given}, {', '.join([*options, *tail])})"
    w.init.append(f"self.{name} = {line}")
    gates = _gates(kind, units)
    for way in range(2 if module.bidirectional else 1):
        suffix = f"_l{number}" + ("_reverse" if way else "")
        inner = (("forward_layer", "backward_layer")[way], "cell") if module.bidirectional else ("cell",)
        full = w.full(w.step.name)
        first, again = (("gates", "kernel"), ("recurrent", "kernel")) if size else (("kernel",), ("recurrent_kernel",))
        w.carried.append(Carried((name, *inner, *first), (f"{full}.weight_ih{suffix}",), lambda a: gates(a).T))
        w.carried.append(Carried((name, *inner, *again), (f"{full}.weight_hh{suffix}",), lambda a: gates(a).T))
        if size:
            w.carried.append(
                Carried((name, *inner, "projection", "kernel"), (f"{full}.weight_hr{suffix}",), lambda a: a.T)
            )
        if module.bias:
            both = (f"{full}.bias_ih{suffix}", f"{full}.bias_hh{suffix}")
            w.carried.append(_bias(kind, gates, (name, *inner, *first[:-1], "bias"), both))


def _gates(kind: str, units: int) -> Callable[[Array], Array]:
    """Torch's order of gates, on the first axis, as Keras's."""
    if kind != "GRU":
        return lambda a: a
    return lambda a: np.concatenate([a[units : 2 * units], a[:units], a[2 * units :]])


def _bias(kind: str, gates: Callable[[Array], Array], path: tuple[str, ...], both: tuple[str, str]) -> Carried:
    """Keras's bias of torch's two: a GRU has both, the others their sum."""
    if kind == "GRU":
        return Carried(path, both, lambda a, b: np.stack([gates(a), gates(b)]))
    return Carried(path, both, lambda a, b: gates(a) + gates(b), "two biases in one")


@function("pack_padded_sequence")
def _packed(w: Writer, x: Value, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True) -> Value:
    if not isinstance(lengths, Value) or not batch_first:
        raise w.refuse("a packed sequence with the time first, or of fixed lengths, has no correspondence")
    x = w.in_layout(w.settle(w.made(x)), (0, 1, 2), "rows, time, features")
    steps, name = x.sizes[1], w.fresh("mask")
    time = f"ops.shape({x.code})[1]" if steps is None else str(steps)
    given = w.plain(w.made(lengths))
    w.lines.append(f'{name} = ops.arange({time}, dtype="{given.shown.dtype}") < {w.operand(given)}[:, None]')
    w.names[name] = w.step.number
    return Value(x.code, x.shown, x.perm, mask=name, bare=x.bare)


@function("pad_packed_sequence")
def _padded(
    w: Writer, x: Value, batch_first: bool = False, padding_value: float = 0.0, total_length: Any = None
) -> Value:
    as_long = total_length is None or total_length in (x.sizes[1], getattr(total_length, "number", None))
    if not x.mask or not batch_first or padding_value or not as_long:
        raise w.refuse("a sequence that is padded so has no correspondence")
    lengths = f'ops.sum(ops.cast({x.mask}, "int64"), axis=1)'
    code = x.code
    if total_length is None:  # as long as the longest
        code = f"{w.operand(x)}[:, : ops.max({lengths})]"
    parts = [Value(code, w.step.shown[0], x.perm), Value(lengths, w.step.shown[1], identity(1))]
    return Value(code, w.step.shown, parts=parts)


@register("LSTMCell", "GRUCell", "RNNCell")
def _cell(w: Writer, module: Any, x: Value, hx: Any = None) -> Value:
    kind = type(module).__name__.removesuffix("Cell")
    if x.rank != 2:
        raise w.refuse(f"{kind}Cell without a batch axis has no correspondence")
    if hx is None:
        raise w.refuse(f"{kind}Cell without a state has no correspondence", "give it a state of zeros")
    if kind == "RNN" and module.nonlinearity not in ("tanh", "relu"):
        raise w.refuse("this RNNCell has no correspondence")
    units = module.hidden_size
    options: dict[str, Any] = {}
    if kind == "RNN" and module.nonlinearity == "relu":
        options["activation"] = '"relu"'
    if not module.bias:
        options["use_bias"] = "False"
    elif kind == "LSTM":
        options["unit_forget_bias"] = "False"
    made = make(w, module, f"{_KERAS[kind]}Cell({units}, **recurrent_like_torch({units}))", **options)
    w.shared.helpers |= {"like_torch", "recurrent_like_torch"}
    gates = _gates(kind, units)
    made.weight("kernel", "weight_ih", lambda a: gates(a).T)
    made.weight("recurrent_kernel", "weight_hh", lambda a: gates(a).T)
    if module.bias:
        both = (f"{made.source}.bias_ih", f"{made.source}.bias_hh")
        made.carried.append((0, _bias(kind, gates, ("bias",), both)))
    parts = (list(hx.parts or ()) if isinstance(hx, Value) else list(hx)) if kind == "LSTM" else [hx]
    given = ", ".join(w.plain(w.made(part)).code for part in parts)
    called = f"{add(w, w.step, made)}({w.plain(w.made(x)).code}, [{given}])"
    if kind != "LSTM":
        name = w.beside(w.step.variables[0] if w.step.variables else "state")
        w.lines.append(f"{name}, _ = {called}")
        return w.result(name)
    names = [w.beside(n) for n in unpacked(w, 2)]
    w.lines.append(f"{', '.join(names)} = {called}[1]")
    parts = [Value(n, one, identity(2)) for n, one in zip(names, w.step.shown, strict=True)]
    return Value("", w.step.shown, parts=parts)


_KERAS = {"LSTM": "LSTM", "GRU": "GRU", "RNN": "SimpleRNN"}

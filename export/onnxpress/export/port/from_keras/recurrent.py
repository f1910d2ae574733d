"""LSTM, GRU and the plain recurrent layer: gates, biases, directions, masks, and a layer for every step of time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import nn

from onnxpress.core.arrays import Array
from onnxpress.export.port.from_keras.arithmetic import binary
from onnxpress.export.port.from_keras.builder import Builder
from onnxpress.export.port.from_keras.masks import mask_of
from onnxpress.export.port.from_keras.registry import layer
from onnxpress.export.port.from_keras.starts import start
from onnxpress.export.port.from_keras.values import Value
from onnxpress.export.port.layout import identity
from onnxpress.export.port.own_layers import ACTIVATIONS, LoopedLSTM, ResetBeforeGRU
from onnxpress.export.port.steps import Ref

_KINDS = {"LSTM": nn.LSTM, "GRU": nn.GRU, "SimpleRNN": nn.RNN}


@layer(*_KINDS)
def _recurrent(w: Any, keras_layer: Any, x: Value, initial_state: Any = None) -> Any:
    _check(w, keras_layer)
    handed = mask_of(w, x)
    # beside states that are given, Keras reads no mask but one that is given as well
    seen = handed if initial_state is None or w.told_mask else None
    x = w.plain(w.made(x), "rows, time, features")
    if keras_layer.go_backwards:
        x = w.function("flip", x, (1,))
        seen = None if seen is None else w.function("flip", seen, (1,))
    found = _one_way(w, keras_layer, keras_layer, x, seen, initial_state)
    answer = found[0]
    if keras_layer.return_sequences and handed is not None:
        answer.mask = handed
    return [answer, *found[1:]] if keras_layer.return_state else answer


def _check(w: Builder, keras_layer: Any) -> None:
    kind = type(keras_layer).__name__
    cell = keras_layer.cell
    if keras_layer.stateful:
        raise w.refuse(f"{kind} that keeps its state has no correspondence")
    if keras_layer.recurrent_dropout:
        raise w.refuse(f"{kind} with recurrent_dropout has no correspondence", "torch has none: leave it out")
    functions = _functions(cell)
    if not _is_looped(keras_layer):
        return
    if kind == "SimpleRNN" or (kind == "GRU" and keras_layer.reset_after) or any(f is None for f in functions):
        raise w.refuse(f"{kind} with these activations has no correspondence", "tanh and sigmoid")


def _functions(cell: Any) -> list[str | None]:
    """The names of the activation and of the gates', None for one that torch's functions are not told of."""
    given = [cell.activation, getattr(cell, "recurrent_activation", None)]
    names = [getattr(f, "__name__", "") for f in given if f is not None]
    return [name if name in ACTIVATIONS else None for name in names]


def _is_looped(keras_layer: Any) -> bool:
    """Whether torch's own layer is another one, so that the steps are looped over."""
    kind, functions = type(keras_layer).__name__, _functions(keras_layer.cell)
    if kind == "SimpleRNN":
        return functions[0] not in ("tanh", "relu")
    return functions != ["tanh", "sigmoid"] or (kind == "GRU" and not keras_layer.reset_after)


def _one_way(w: Builder, owner: Any, keras_layer: Any, x: Value, seen: Value | None, initial_state: Any,
             part: str = "") -> list[Value]:  # fmt: skip
    """[what it answers, its states] of one direction; `owner` gives the torch layer its name."""
    if keras_layer.dropout:
        kept = w.function("permute", x, (0, 2, 1), perm=(0, 2, 1), comment="one draw for all steps of time, as Keras")
        tail = f"{part}_dropout" if part else "dropout"
        kept = w.value(w.layer(owner, nn.Dropout1d(float(keras_layer.dropout)), kept, part=tail), (0, 2, 1))
        x = w.function("permute", kept, (0, 2, 1), comment="rows, time, features")
    kind = type(keras_layer).__name__
    states = []
    if initial_state is not None:
        given = initial_state if isinstance(initial_state, list | tuple) else [initial_state]
        states = [w.plain(w.made(s)) for s in given]
    if seen is not None:
        return _behind_mask(w, owner, keras_layer, x, seen, states, part)
    args: list[Any] = [x]
    if states:
        first = [w.function("unsqueeze", s, 0) for s in states]
        args.append(tuple(first) if kind == "LSTM" else first[0])
    module = _module(keras_layer, int(keras_layer.cell.kernel.shape[0]), bidirectional=False)
    number = w.layer(owner, module, *args, part=part, weights=_weights(keras_layer))
    _starts(w, owner, [(keras_layer, "")], part)
    state = w.step("function", "getitem", (Ref(number), 1))
    hidden_ref = w.step("function", "getitem", (Ref(state), 0)) if kind == "LSTM" else state
    hidden = w.value(w.step("function", "getitem", (Ref(hidden_ref), -1)))
    found = [w.value(w.step("function", "getitem", (Ref(number), 0))) if keras_layer.return_sequences else hidden]
    found.append(hidden)
    if kind == "LSTM":
        cell = w.step("function", "getitem", (Ref(state), 1))
        found.append(w.value(w.step("function", "getitem", (Ref(cell), -1))))
    return found


class _Masked(Builder):
    """The block of a recurrent layer behind a mask."""

    def name_of(self, keras_layer: Any) -> str:
        """`lstm`, `gru` or `rnn`."""
        return _KINDS[type(keras_layer).__name__].__name__.lower()


def _behind_mask(w: Builder, owner: Any, keras_layer: Any, x: Value, seen: Value, states: list[Value],
                 part: str) -> list[Value]:  # fmt: skip
    """A block that carries the state over what the mask hides, as Keras does."""
    key = (id(owner), part)
    if keras_layer.zero_output_for_mask and not keras_layer.return_sequences:
        raise w.refuse("a layer that answers zeros where its last step is masked has no correspondence")
    given = [x, seen, *states]
    if key not in w.paths:
        path = w.paths[key] = w.free(w.name_of(owner) + (f"_{part}" if part else ""))
        name = f"Masked{type(keras_layer).__name__}"
        inner = _Masked(w.shared, f"{w.path}{path}.", name, str(keras_layer.name))
        names = ["x", "seen", "hidden", "cell"]
        fresh = [inner.input(n, w.pairs[v.ref.number], v.perm) for n, v in zip(names, given, strict=False)]
        answers = _carried_over(inner, keras_layer, fresh[0], fresh[1], fresh[2:])
        w.children[path] = inner.block(answers[0] if len(answers) == 1 else tuple(answers))
        w.owner.add_module(path, inner.owner)
    number = w.step("block", w.paths[key], tuple(given))
    answered = w.pairs[number][0]
    found = (
        [w.value(w.step("function", "getitem", (Ref(number), n))) for n in range(len(answered))]
        if isinstance(answered, tuple)
        else [w.value(number)]
    )
    return found if keras_layer.return_sequences else [found[0], *found]


def _carried_over(w: Builder, keras_layer: Any, x: Value, seen: Value, first: list[Value]) -> list[Value]:
    """[the states of all steps, if they are answered; the last states, those that are answered]."""
    why = "the steps that are seen come first, as the others change no state"
    order = w.function("argsort", seen, dim=1, descending=True, stable=True, called="order", comment=why)
    x = w.function("take_along_dim", x, w.function("unsqueeze", order, -1), dim=1, called="x")
    module = _module(keras_layer, int(keras_layer.cell.kernel.shape[0]), bidirectional=False)
    count = w.function("cumsum", seen, dim=1, called="count")
    if first or (keras_layer.return_state and type(keras_layer).__name__ == "LSTM"):
        return _packed(w, keras_layer, module, x, seen, count, first)
    number = w.layer(keras_layer, module, x, weights=_weights(keras_layer))
    _starts(w, keras_layer, [(keras_layer, "")], "")
    states = w.value(w.step("function", "getitem", (Ref(number), 0)))
    w.steps[states.ref.number].variables = ("states",)
    found: list[Value] = []
    if keras_layer.return_sequences:
        shown = seen if keras_layer.zero_output_for_mask else w.function("gt", count, 0)
        found.append(_picked(w, states, count, shown))
    if not keras_layer.return_sequences or keras_layer.return_state:
        last = w.function("getitem", count, (slice(None), slice(-1, None)), called="last")
        found.append(w.function("squeeze", _picked(w, states, last, w.function("gt", last, 0)), 1))
    return found


def _packed(w: Builder, keras_layer: Any, module: nn.Module, x: Value, seen: Value, count: Value,
            first: list[Value]) -> list[Value]:  # fmt: skip
    """The same with states that are given or answered: each row ends where nothing more is seen."""
    if _is_looped(keras_layer):
        raise w.refuse("states of these activations, behind a mask, have no correspondence", "tanh and sigmoid")
    kind = type(keras_layer).__name__
    last = w.function("getitem", count, (slice(None), -1), called="last")
    lengths = w.function("cpu", w.function("clamp", last, min=1), called="lengths")
    packed = w.step(
        "function", "pack_padded_sequence", (x, lengths), {"batch_first": True, "enforce_sorted": False},
    )  # fmt: skip
    given: list[Any] = [Ref(packed)]
    if first:
        begun = [w.function("unsqueeze", one, 0) for one in first]
        given.append(tuple(begun) if kind == "LSTM" else begun[0])
    number = w.layer(keras_layer, module, *given, weights=_weights(keras_layer))
    _starts(w, keras_layer, [(keras_layer, "")], "")
    found: list[Value] = []
    if keras_layer.return_sequences:
        total = w.size(x, 1)
        padded = w.step(
            "function", "pad_packed_sequence", (Ref(w.step("function", "getitem", (Ref(number), 0))),),
            {"batch_first": True, "total_length": total},
        )  # fmt: skip
        states = w.value(w.step("function", "getitem", (Ref(padded), 0)))
        shown = seen if keras_layer.zero_output_for_mask else w.function("gt", count, 0)
        found.append(_picked(w, states, count, shown))
    ends = w.step("function", "getitem", (Ref(number), 1))
    parts = [w.step("function", "getitem", (Ref(ends), n)) for n in (0, 1)] if kind == "LSTM" else [ends]
    wanted = parts if keras_layer.return_state else parts[:1] if not keras_layer.return_sequences else []
    some = w.function("unsqueeze", w.function("gt", last, 0), -1, called="some") if wanted else None
    for place, part in enumerate(wanted):
        end = w.value(w.step("function", "getitem", (Ref(part), -1)))
        found.append(w.function("where", some, end, first[place] if first else 0.0))
    return found


def _picked(w: Builder, states: Value, count: Value, shown: Value) -> Value:
    """The state after so many steps that are seen, zeros where `shown` is false."""
    place = w.function("unsqueeze", w.function("clamp", w.function("sub", count, 1), min=0), -1, called="place")
    picked = w.function("take_along_dim", states, place, dim=1)
    return w.function("where", w.function("unsqueeze", shown, -1), picked, 0.0)


def _module(keras_layer: Any, features: int, *, bidirectional: bool) -> nn.Module:
    kind = type(keras_layer).__name__
    if _is_looped(keras_layer):
        looped: Any = LoopedLSTM if kind == "LSTM" else ResetBeforeGRU
        functions = [ACTIVATIONS[name][0] for name in _functions(keras_layer.cell) if name]
        found: nn.Module = looped(features, keras_layer.units, *functions, bias=bool(keras_layer.use_bias))
        return found
    options: dict[str, Any] = {"bidirectional": True} if bidirectional else {}
    if kind == "SimpleRNN":
        options["nonlinearity"] = keras_layer.activation.__name__
    if not keras_layer.use_bias:
        options["bias"] = False
    module = _KINDS[kind](features, keras_layer.units, batch_first=True, **options)
    if keras_layer.use_bias and kind != "GRU":  # Keras has one bias: torch's second stays at zero
        for name, parameter in module.named_parameters():
            if name.startswith("bias_hh"):
                parameter.data.zero_()
                parameter.requires_grad_(False)
    return module


def _weights(keras_layer: Any, suffix: str = "") -> dict[str, Any]:
    cell, units = keras_layer.cell, keras_layer.units
    if _is_looped(keras_layer):
        return _looped_weights(keras_layer)
    gates = _gates(type(keras_layer).__name__, units)
    found: dict[str, Any] = {
        f"weight_ih_l0{suffix}": ([cell.kernel], lambda a: gates(a).T),
        f"weight_hh_l0{suffix}": ([cell.recurrent_kernel], lambda a: gates(a).T),
    }
    if keras_layer.use_bias and type(keras_layer).__name__ == "GRU":
        found[f"bias_ih_l0{suffix}"] = ([cell.bias], lambda a: gates(a[0]))
        found[f"bias_hh_l0{suffix}"] = ([cell.bias], lambda a: gates(a[1]))
    elif keras_layer.use_bias:
        found[f"bias_ih_l0{suffix}"] = ([cell.bias], gates)
    return found


def _looped_weights(keras_layer: Any) -> dict[str, Any]:
    cell, units = keras_layer.cell, keras_layer.units
    found: dict[str, Any] = {"input.weight": ([cell.kernel], np.transpose)}
    if keras_layer.use_bias:
        found["input.bias"] = ([cell.bias], np.asarray)
    if type(keras_layer).__name__ == "LSTM":
        found["recurrent.weight"] = ([cell.recurrent_kernel], np.transpose)
    else:
        found["gates.weight"] = ([cell.recurrent_kernel], lambda a: a[:, : 2 * units].T)
        found["candidate.weight"] = ([cell.recurrent_kernel], lambda a: a[:, 2 * units :].T)
    return found


def _gates(kind: str, units: int) -> Callable[[Array], Array]:
    """Keras's order of gates, on the last axis, as torch's: of a GRU z, r, h as r, z, n."""
    if kind != "GRU":
        return lambda a: a
    return lambda a: np.concatenate([a[..., units : 2 * units], a[..., :units], a[..., 2 * units :]], axis=-1)


def _starts(w: Builder, owner: Any, ways: list[tuple[Any, str]], part: str) -> None:
    begins: dict[str, Any] = {}
    if any(_is_looped(keras_layer) for keras_layer, _ in ways):
        cell = ways[0][0].cell
        begins["input.weight"] = (cell.kernel_initializer, cell.kernel)
        begins["recurrent.weight"] = (cell.recurrent_initializer, cell.recurrent_kernel)
        begins["input.bias"] = (cell.bias_initializer, cell.bias)
        start(w, owner, begins, part)
        if getattr(ways[0][0], "unit_forget_bias", False) and ways[0][0].use_bias:
            path = w.path + w.paths[(id(owner), part)]
            w.shared.starts[path].append("nn.init.ones_({0}.input.bias[units : 2 * units])")
        return
    for keras_layer, suffix in ways:
        cell = keras_layer.cell
        begins[f"weight_ih_l0{suffix}"] = (cell.kernel_initializer, cell.kernel)
        begins[f"weight_hh_l0{suffix}"] = (cell.recurrent_initializer, cell.recurrent_kernel)
        if keras_layer.use_bias:
            begins[f"bias_ih_l0{suffix}"] = (cell.bias_initializer, cell.bias)
            begins[f"bias_hh_l0{suffix}"] = (cell.bias_initializer, cell.bias)
    start(w, owner, begins, part)
    for keras_layer, suffix in ways:
        if getattr(keras_layer, "unit_forget_bias", False) and keras_layer.use_bias:
            path = w.path + w.paths[(id(owner), part)]
            w.shared.starts[path].append(f"nn.init.ones_({{0}}.bias_ih_l0{suffix}[units : 2 * units])")


@layer("Bidirectional")
def _bidirectional(w: Builder, keras_layer: Any, x: Value, initial_state: Any = None) -> Any:
    forward, backward = keras_layer.forward_layer, keras_layer.backward_layer
    if any(
        type(one).__name__ not in _KINDS or not type(one).__module__.startswith("keras.") for one in (forward, backward)
    ):
        raise w.refuse(f"Bidirectional of {type(forward).__name__} has no correspondence")
    _check(w, forward)
    _check(w, backward)
    kinds = {(type(one).__name__, one.units, one.use_bias, one.activation.__name__) for one in (forward, backward)}
    if len(kinds) > 1 or initial_state is not None or forward.go_backwards or not backward.go_backwards:
        raise w.refuse("Bidirectional of two kinds, or with states that are given, has no correspondence")
    seen = mask_of(w, x)
    x = w.plain(w.made(x), "rows, time, features")
    if seen is not None or forward.dropout or backward.dropout or _is_looped(forward):
        ways = _two_layers(w, keras_layer, x, seen)
    else:
        ways = _both_in_one(w, keras_layer, x)
    found = _merged(w, keras_layer.merge_mode, *(way[0] for way in ways))
    if forward.return_sequences and seen is not None and isinstance(found, Value):
        found.mask = seen
    if not keras_layer.return_state:
        return found
    return [*(found if isinstance(found, list) else [found]), *ways[0][1:], *ways[1][1:]]


def _two_layers(w: Builder, keras_layer: Any, x: Value, seen: Value | None) -> list[list[Value]]:
    """Each direction as a layer of its own: with a mask, or with a draw of dropout of its own."""
    forward = _one_way(w, keras_layer, keras_layer.forward_layer, x, seen, None, "forward")
    x = w.function("flip", x, (1,))
    seen = None if seen is None else w.function("flip", seen, (1,))
    backward = _one_way(w, keras_layer, keras_layer.backward_layer, x, seen, None, "backward")
    if keras_layer.backward_layer.return_sequences:
        backward[0] = w.function("flip", backward[0], (1,))
    return [forward, backward]


def _both_in_one(w: Builder, keras_layer: Any, x: Value) -> list[list[Value]]:
    forward, backward = keras_layer.forward_layer, keras_layer.backward_layer
    module = _module(forward, int(forward.cell.kernel.shape[0]), bidirectional=True)
    weights = _weights(forward) | _weights(backward, "_reverse")
    number = w.layer(keras_layer, module, x, weights=weights)
    _starts(w, keras_layer, [(forward, ""), (backward, "_reverse")], "")
    is_lstm = type(forward).__name__ == "LSTM"
    state = w.step("function", "getitem", (Ref(number), 1))
    parts = [w.step("function", "getitem", (Ref(state), n)) for n in (0, 1)] if is_lstm else [state]
    states = [[w.value(w.step("function", "getitem", (Ref(part), way))) for part in parts] for way in (0, 1)]
    if not forward.return_sequences:
        return [[found[0], *found] for found in states]
    both = w.step("function", "getitem", (Ref(number), 0))
    if keras_layer.merge_mode == "concat":
        whole = w.value(both)
        return [[whole, *states[0]], [whole, *states[1]]]
    cut = w.step("function", "chunk", (Ref(both), 2), {"dim": -1})
    return [[w.value(w.step("function", "getitem", (Ref(cut), way))), *states[way]] for way in (0, 1)]


def _merged(w: Builder, mode: str | None, forward: Value, backward: Value) -> Any:
    if mode == "concat":
        if forward.ref == backward.ref:  # torch's own answer is both already
            return forward
        return w.function("cat", (forward, backward), dim=-1)
    if mode in ("sum", "ave"):
        found = binary(w, "add", forward, backward)
        return found if mode == "sum" else w.like(found, "div", found, 2)
    if mode == "mul":
        return binary(w, "mul", forward, backward)
    return [forward, backward]


@layer("TimeDistributed")
def _time_distributed(w: Any, keras_layer: Any, x: Value) -> Value:
    inner = keras_layer.layer
    if x.mask is not None and inner._call_has_mask_arg:
        raise w.refuse("TimeDistributed behind a mask, of a layer that reads it, has no correspondence")
    if type(inner).__name__ in ("Dense", "Dropout", "Activation") and type(inner).__module__.startswith("keras."):
        return w.written(inner, (x,), {})
    x = w.settle(w.made(x))
    if x.perm[:2] != (0, 1):
        x = w.plain(x, "rows and time first")
    norms = [one for one in inner._flatten_layers() if type(one).__name__ == "BatchNormalization" and one.trainable]
    if norms:
        raise w.refuse("TimeDistributed of a batch norm has no correspondence", "Keras trains it step by step")
    time = w.size(x, 1)
    each = w.function("flatten", x, 0, 1, perm=(0, *(axis - 1 for axis in x.perm[2:])))
    found = w.settle(w.written(inner, (each,), {}))
    perm = (0, 1, *(axis + 1 for axis in found.perm[1:]))
    if found.perm[0] != 0:
        found, perm = w.plain(found), identity(found.rank + 1)
    return w.function("unflatten", found, 0, (-1, time), perm=perm)

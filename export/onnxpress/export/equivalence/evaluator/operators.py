"""Operators of the numpy evaluation where ONNX's reference implementation is slow, wrong or absent.

onnx 1.23: its Conv goes through every index in Python, its Erf through every element, its LSTM and GRU know neither
lengths nor other activations, its Loop joins the scan outputs along an axis of the values instead of stacking them, its
GatherElements fails on most shapes, CategoryMapper is missing. The formulas are those of the operators' specifications.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from onnx.reference.op_run import OpRun
from onnx.reference.ops.op_loop import Loop as ReferenceLoop

from onnxpress.core.arrays import Array
from onnxpress.export.equivalence.evaluator.error_function import erf
from onnxpress.export.equivalence.evaluator.image_operators import Resize

Step = Callable[[Array, tuple[Array, ...]], tuple[Array, ...]]


class Conv(OpRun):
    """Convolution as one matrix product per group over sliding windows; any number of spatial axes."""

    def _run(
        self,
        X: Array,
        W: Array,
        B: Array | None = None,
        auto_pad: str | None = None,
        dilations: list[int] | None = None,
        group: int | None = None,
        kernel_shape: list[int] | None = None,
        pads: list[int] | None = None,
        strides: list[int] | None = None,
    ) -> tuple[Array]:
        axes = X.ndim - 2
        kernel = W.shape[2:]
        dilations, strides, group = dilations or [1] * axes, strides or [1] * axes, group or 1
        reach = [(size - 1) * dilation + 1 for size, dilation in zip(kernel, dilations, strict=True)]
        begin, end = _padding(auto_pad or "NOTSET", X.shape[2:], reach, strides, pads)
        padded = np.pad(X, [(0, 0), (0, 0), *zip(begin, end, strict=True)])
        windows = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=tuple(range(2, 2 + axes)))
        steps = tuple(slice(None, None, step) for step in strides)
        inner = tuple(slice(None, None, dilation) for dilation in dilations)
        windows = windows[(slice(None), slice(None), *steps, *inner)]
        wide, narrow = X.shape[1] // group, W.shape[0] // group
        channels = [1, *range(2 + axes, 2 + 2 * axes)]
        parts = [
            np.tensordot(
                windows[:, g * wide : (g + 1) * wide],
                W[g * narrow : (g + 1) * narrow],
                axes=(channels, [1, *range(2, 2 + axes)]),
            )
            for g in range(group)
        ]
        y = np.moveaxis(np.concatenate(parts, axis=-1), -1, 1)
        return (y if B is None else y + B.reshape(-1, *[1] * axes),)


def _padding(
    auto_pad: str, sizes: tuple[int, ...], reach: list[int], strides: list[int], pads: list[int] | None
) -> tuple[list[int], list[int]]:
    axes = len(sizes)
    if auto_pad in ("NOTSET", "VALID"):
        given = pads if pads and auto_pad == "NOTSET" else [0] * 2 * axes
        return list(given[:axes]), list(given[axes:])
    outputs = [-(-size // step) for size, step in zip(sizes, strides, strict=True)]
    totals = [
        max((out - 1) * step + width - size, 0)
        for out, step, width, size in zip(outputs, strides, reach, sizes, strict=True)
    ]
    less, more = [t // 2 for t in totals], [t - t // 2 for t in totals]
    return (less, more) if auto_pad == "SAME_UPPER" else (more, less)


_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "sigmoid": lambda x: 0.5 * (1 + np.tanh(0.5 * x)),
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
}


class _Recurrent(OpRun):
    """What LSTM, GRU and RNN share: directions, lengths, states. X is (time, batch, features)."""

    gates: int
    defaults: tuple[str, ...]

    def _over_time(
        self,
        X: Array,
        W: Array,
        R: Array,
        B: Array | None,
        lengths: Array | None,
        states: Sequence[Array | None],
        attributes: dict[str, Any],
        cell: Callable[..., tuple[Array, ...]],
    ) -> tuple[Array, ...]:
        if attributes.get("layout") or attributes.get("clip") or attributes.get("input_forget"):
            raise NotImplementedError("layout, clip and input_forget")
        hidden = R.shape[-1]
        directions = W.shape[0]
        names = [str(name).lower() for name in attributes.get("activations") or self.defaults * directions]
        if not set(names) <= set(_ACTIVATIONS):
            raise NotImplementedError(f"activations {names}")
        each = len(self.defaults)
        time, batch = X.shape[:2]
        ends = np.full(batch, time) if lengths is None else lengths
        outputs, finals = [], []
        for d in range(directions):
            backward = d == 1 or attributes.get("direction") == "reverse"
            functions = [_ACTIVATIONS[name] for name in names[d * each : (d + 1) * each]]
            bias = np.zeros(2 * self.gates * hidden) if B is None else B[d]
            state = tuple(np.zeros((batch, hidden), X.dtype) if s is None else s[d] for s in states)
            rows = np.zeros((time, batch, hidden), X.dtype)
            for t in reversed(range(time)) if backward else range(time):
                new = cell(X[t], state, W[d], R[d], bias, functions, attributes)
                alive = (t < ends)[:, None]
                state = tuple(np.where(alive, n, s) for n, s in zip(new, state, strict=True))
                rows[t] = np.where(alive, state[0], 0)
            outputs.append(rows)
            finals.append(state)
        return (np.stack(outputs, axis=1), *(np.stack(part) for part in zip(*finals, strict=True)))


class LSTM(_Recurrent):
    """Gates in the order input, output, forget, cell; no peepholes."""

    gates, defaults = 4, ("Sigmoid", "Tanh", "Tanh")

    def _run(
        self,
        X: Array,
        W: Array,
        R: Array,
        B: Array | None = None,
        sequence_lens: Array | None = None,
        initial_h: Array | None = None,
        initial_c: Array | None = None,
        P: Array | None = None,
        **attributes: Any,
    ) -> tuple[Array, ...]:
        if P is not None and np.any(P):
            raise NotImplementedError("peepholes")
        return self._over_time(X, W, R, B, sequence_lens, (initial_h, initial_c), attributes, _lstm)


def _lstm(x: Array, state: Any, W: Array, R: Array, bias: Array, functions: Any, _: Any) -> tuple[Array, ...]:
    gate, squash, read = functions
    hidden, cell = state
    Wb, Rb = np.split(bias, 2)
    i, o, f, c = np.split(x @ W.T + hidden @ R.T + Wb + Rb, 4, axis=1)
    cell = gate(f) * cell + gate(i) * squash(c)
    return gate(o) * read(cell), cell


class GRU(_Recurrent):
    """Gates in the order update, reset, hidden."""

    gates, defaults = 3, ("Sigmoid", "Tanh")

    def _run(
        self,
        X: Array,
        W: Array,
        R: Array,
        B: Array | None = None,
        sequence_lens: Array | None = None,
        initial_h: Array | None = None,
        **attributes: Any,
    ) -> tuple[Array, ...]:
        return self._over_time(X, W, R, B, sequence_lens, (initial_h,), attributes, _gru)


def _gru(x: Array, state: Any, W: Array, R: Array, bias: Array, functions: Any, attributes: Any) -> tuple[Array, ...]:
    gate, squash = functions
    (hidden,) = state
    Wb, Rb = np.split(bias, 2)
    (xz, xr, xh), (bz, br, bh) = np.split(x @ W.T + Wb, 3, axis=1), np.split(Rb, 3)
    Rz, Rr, Rh = np.split(R, 3)
    z, r = gate(xz + hidden @ Rz.T + bz), gate(xr + hidden @ Rr.T + br)
    if attributes.get("linear_before_reset"):
        h = squash(xh + r * (hidden @ Rh.T + bh))
    else:
        h = squash(xh + (r * hidden) @ Rh.T + bh)
    return ((1 - z) * h + z * hidden,)


class RNN(_Recurrent):
    """One gate."""

    gates, defaults = 1, ("Tanh",)

    def _run(
        self,
        X: Array,
        W: Array,
        R: Array,
        B: Array | None = None,
        sequence_lens: Array | None = None,
        initial_h: Array | None = None,
        **attributes: Any,
    ) -> tuple[Array, ...]:
        return self._over_time(X, W, R, B, sequence_lens, (initial_h,), attributes, _rnn)


def _rnn(x: Array, state: Any, W: Array, R: Array, bias: Array, functions: Any, _: Any) -> tuple[Array, ...]:
    Wb, Rb = np.split(bias, 2)
    return (functions[0](x @ W.T + state[0] @ R.T + Wb + Rb),)


class Loop(ReferenceLoop):
    """Values carried from turn to turn, then one stacked array for each scan output."""

    def _run(self, M: Any, cond: Any, *carried: Any, context: Any = None, **settings: Any) -> tuple[Any, ...]:
        settings.pop("body", None)
        body = self.body
        counter, going, *names = body.input_names
        feeds = dict(context or {}) | dict(zip(names, carried, strict=True))
        scans: list[list[Any]] = [[] for _ in range(self.K)]
        turn, state = 0, list(carried)
        go_on = True if cond is None else bool(np.all(cond))
        while go_on and (M is None or turn < int(np.ravel(M)[0])):
            feeds |= {counter: np.array(turn, np.int64), going: np.array(True)}
            go_on_next, *rest = self._run_body(feeds, **settings)
            state = list(rest[: self.N])
            feeds |= dict(zip(names, state, strict=True))
            for rows, value in zip(scans, rest[self.N :], strict=True):
                rows.append(value)
            go_on, turn = bool(np.all(go_on_next)), turn + 1
        if turn == 0 and scans:
            raise NotImplementedError("a Loop that never runs tells no shape of its scan outputs")
        return (*state, *(np.stack(rows) for rows in scans))


class Erf(OpRun):
    """The error function."""

    def _run(self, x: Array) -> tuple[Array]:
        return (np.asarray(erf(x), x.dtype),)


class Gelu(OpRun):
    """In its own precision: onnx takes it apart into an Erf in float32."""

    def _run(self, x: Array, approximate: str | None = None) -> tuple[Array]:
        if approximate == "tanh":
            inner = np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
        else:
            inner = erf(x / math.sqrt(2))
        return (np.asarray(0.5 * x * (1 + inner), x.dtype),)


class GatherElements(OpRun):
    """One element of the data for each index; other axes of the data may be longer than the indices'."""

    def _run(self, data: Array, indices: Array, axis: int | None = None) -> tuple[Array]:
        along = (axis or 0) % data.ndim
        corner = tuple(slice(None) if n == along else slice(size) for n, size in enumerate(indices.shape))
        return (np.take_along_axis(data[corner], indices, along),)


class CategoryMapper(OpRun):
    """Strings to integers and back."""

    op_domain = "ai.onnx.ml"

    def _run(
        self,
        X: Array,
        cats_int64s: list[int] | None = None,
        cats_strings: list[str] | None = None,
        default_int64: int | None = None,
        default_string: str | None = None,
    ) -> tuple[Array]:
        numbers, words = list(cats_int64s or []), [str(word) for word in cats_strings or []]
        table: dict[Any, Any] = dict(zip(words, numbers, strict=True)) | dict(zip(numbers, words, strict=True))
        default, dtype = (default_int64, "int64") if X.dtype.kind in "OUS" else (default_string, "object")
        return (np.array([table.get(value, default) for value in X.ravel().tolist()], dtype).reshape(X.shape),)


OPERATORS = [Conv, LSTM, GRU, RNN, Loop, Erf, Gelu, GatherElements, CategoryMapper, Resize]

"""Functions of `tf` that an author's own layer calls, as the operations of Keras that they are, while it is traced."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import keras
import tensorflow as tf
from keras import KerasTensor, ops, tree


def _reduced(name: str) -> Callable[..., Any]:
    over: Callable[..., Any] = getattr(ops, name)

    def reduced(x: Any, axis: Any = None, keepdims: bool = False, name: Any = None) -> Any:
        return over(x, axis=axis, keepdims=keepdims)

    return reduced


def _matmul(a: Any, b: Any, transpose_a: bool = False, transpose_b: bool = False) -> Any:
    a = ops.swapaxes(a, -2, -1) if transpose_a else a
    return ops.matmul(a, ops.swapaxes(b, -2, -1) if transpose_b else b)


def _transpose(a: Any, perm: Any = None) -> Any:
    return ops.transpose(a, perm)


def _softmax(logits: Any, axis: int = -1, name: Any = None) -> Any:
    return ops.softmax(logits, axis=-1 if axis is None else axis)


def _leaky_relu(features: Any, alpha: float = 0.2, name: Any = None) -> Any:
    return ops.leaky_relu(features, alpha)


def _gelu(features: Any, approximate: bool = False, name: Any = None) -> Any:
    return ops.gelu(features, approximate)


def _concat(values: Any, axis: int, name: Any = None) -> Any:
    return ops.concatenate(values, axis)


def _squeeze(x: Any, axis: Any = None, name: Any = None) -> Any:
    return ops.squeeze(x, axis)


def _split(value: Any, num_or_size_splits: Any, axis: int = 0) -> Any:
    if isinstance(num_or_size_splits, int):
        return ops.split(value, num_or_size_splits, axis)
    cuts = [sum(num_or_size_splits[: n + 1]) for n in range(len(num_or_size_splits) - 1)]
    return ops.split(value, cuts, axis)


def _shape(x: Any, out_type: Any = None, name: Any = None) -> Any:
    return tuple(x.shape)


_PLAIN = (
    "abs", "add", "cast", "cos", "divide", "einsum", "equal", "exp", "expand_dims", "floor", "greater", "less",
    "maximum", "minimum", "multiply", "not_equal", "ones_like", "reshape", "round", "sigmoid", "sign", "sin", "sqrt",
    "square", "stack", "stop_gradient", "subtract", "tanh", "tensordot", "where", "zeros_like",
)  # fmt: skip
_OTHER: dict[str, Callable[..., Any]] = {
    "reduce_sum": _reduced("sum"), "reduce_mean": _reduced("mean"), "reduce_max": _reduced("max"),
    "reduce_min": _reduced("min"), "matmul": _matmul, "transpose": _transpose, "concat": _concat, "squeeze": _squeeze,
    "split": _split, "shape": _shape, "pow": ops.power, "identity": lambda x: x, "tile": ops.tile, "pad": ops.pad,
}  # fmt: skip
_NN: dict[str, Callable[..., Any]] = {
    "softmax": _softmax, "leaky_relu": _leaky_relu, "gelu": _gelu, "relu": ops.relu, "relu6": ops.relu6,
    "elu": ops.elu, "selu": ops.selu, "sigmoid": ops.sigmoid, "tanh": ops.tanh, "softplus": ops.softplus,
    "silu": ops.silu, "swish": ops.silu, "softsign": ops.softsign,
}  # fmt: skip
_MATH = ("abs", "add", "cos", "divide", "exp", "floor", "log", "log1p", "maximum", "minimum", "multiply", "pow",
         "reduce_max", "reduce_mean", "reduce_min", "reduce_sum", "rsqrt", "sigmoid", "sin", "sqrt", "square",
         "subtract", "tanh", "softplus")  # fmt: skip
_SIGNS = ("add", "sub", "mul", "truediv", "pow", "matmul", "floordiv", "mod")


@contextlib.contextmanager
def followed() -> Iterator[None]:
    """Functions of tf that are given KerasTensors stand in the graph; all others compute as ever."""
    plain = {name: getattr(ops, name) for name in _PLAIN}
    everywhere = plain | _OTHER
    with contextlib.ExitStack() as stack:
        for holder, functions in (
            (tf, everywhere),
            (tf.nn, _NN),
            (tf.math, {name: everywhere.get(name) or getattr(ops, name) for name in _MATH}),
        ):
            for name, function in functions.items():
                if (original := getattr(holder, name, None)) is not None:
                    stack.enter_context(mock.patch.object(holder, name, _either(original, function)))
        for sign in _SIGNS:  # of a variable that stands before a KerasTensor
            name = f"__{sign}__"
            if (original := getattr(keras.Variable, name, None)) is not None:
                stack.enter_context(mock.patch.object(keras.Variable, name, _left(original)))
        yield


def _either(original: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    def called(*args: Any, **kwargs: Any) -> Any:
        if any(isinstance(x, KerasTensor) for x in tree.flatten((args, kwargs))):
            return function(*args, **kwargs)
        return original(*args, **kwargs)

    return called


def _left(original: Callable[..., Any]) -> Callable[..., Any]:
    def called(self: Any, other: Any) -> Any:
        return NotImplemented if isinstance(other, KerasTensor) else original(self, other)

    return called

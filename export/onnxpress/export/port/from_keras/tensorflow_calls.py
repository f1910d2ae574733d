"""Functions of `tf` that an author's own layer calls, as the operations of Keras that they are, while it is traced."""

from __future__ import annotations

import contextlib
import inspect
import operator
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from keras import KerasTensor, ops, tree

from onnxpress.export.port.from_keras.stand_ins import MAKERS, in_the_graph


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


def _log_softmax(logits: Any, axis: int = -1, name: Any = None) -> Any:
    return ops.log_softmax(logits, axis=-1 if axis is None else axis)


def _unstack(value: Any, num: Any = None, axis: int = 0, name: Any = None) -> Any:
    return ops.unstack(value, num, axis)


def _clip(t: Any, clip_value_min: Any, clip_value_max: Any, name: Any = None) -> Any:
    return ops.clip(t, clip_value_min, clip_value_max)


def _l2_normalize(x: Any, axis: Any = None, epsilon: float = 1e-12, name: Any = None) -> Any:
    return x * ops.rsqrt(ops.maximum(ops.sum(ops.square(x), axis=axis, keepdims=True), epsilon))


def _gather(params: Any, indices: Any, axis: Any = None, name: Any = None) -> Any:
    return ops.take(params, indices, axis=0 if axis is None else axis)


def _one_hot(indices: Any, depth: int, axis: int = -1, dtype: Any = "float32") -> Any:
    return ops.one_hot(indices, depth, axis=axis, dtype=keras.backend.standardize_dtype(dtype))


def _argmax(input: Any, axis: Any = None, output_type: Any = "int64") -> Any:  # noqa: A002 - TensorFlow's name
    return ops.cast(ops.argmax(input, axis=0 if axis is None else axis), keras.backend.standardize_dtype(output_type))


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
    "reduce_prod": _reduced("prod"), "reduce_any": _reduced("any"), "reduce_all": _reduced("all"),
    "reduce_logsumexp": _reduced("logsumexp"), "unstack": _unstack, "clip_by_value": _clip, "gather": _gather,
    "one_hot": _one_hot, "argmax": _argmax, "split": _split, "shape": _shape,
    "pow": ops.power, "identity": lambda x: x, "tile": ops.tile, "pad": ops.pad,
}  # fmt: skip
_NN: dict[str, Callable[..., Any]] = {
    "softmax": _softmax, "log_softmax": _log_softmax, "l2_normalize": _l2_normalize,
    "leaky_relu": _leaky_relu, "gelu": _gelu, "relu": ops.relu, "relu6": ops.relu6,
    "elu": ops.elu, "selu": ops.selu, "sigmoid": ops.sigmoid, "tanh": ops.tanh, "softplus": ops.softplus,
    "silu": ops.silu, "swish": ops.silu, "softsign": ops.softsign,
}  # fmt: skip
_ONLY_MATH: dict[str, Callable[..., Any]] = {
    "softmax": _softmax, "log_softmax": _log_softmax, "l2_normalize": _l2_normalize, "reduce_std": _reduced("std"),
    "reduce_variance": _reduced("var"), "erf": ops.erf,
}  # fmt: skip
_MATH = ("abs", "add", "cos", "divide", "exp", "floor", "log", "log1p", "maximum", "minimum", "multiply", "pow",
         "reduce_max", "reduce_mean", "reduce_min", "reduce_sum", "rsqrt", "sigmoid", "sin", "sqrt", "square",
         "subtract", "tanh", "softplus", "argmax", "reduce_prod", "reduce_any", "reduce_all",
         "reduce_logsumexp")  # fmt: skip
_NEVER = ("is_tensor", "shape", "convert_to_numpy", "cond", "while_loop", "fori_loop", "scan", "map", "vectorized_map")
"""of keras.ops: those that ask what something is, and those that take functions"""
_SIGNS = ("add", "sub", "mul", "truediv", "pow", "matmul", "floordiv", "mod")


class Following:
    """What a layer's call does with variables and arrays, so that it stands in the graph.

    They are told by KerasTensors; `held` has what each of these is.
    """

    def __init__(self) -> None:
        self.held: dict[int, Any] = {}
        self.losses: list[str] = []
        """the layers that add to the loss"""
        self._symbols: dict[int, KerasTensor] = {}
        self._alive: list[Any] = []
        self._depth = 0

    def symbol(self, value: Any) -> KerasTensor:
        """The KerasTensor that tells a variable or an array."""
        if id(value) not in self._symbols:
            found = KerasTensor(tuple(value.shape), keras.backend.standardize_dtype(value.dtype))
            self._symbols[id(value)] = found
            self.held[id(found)] = value
            self._alive.append(value)
        return self._symbols[id(value)]

    def function(self, original: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
        """`function` of what stands in the graph, or of variables; `original` of all else."""

        def called(*args: Any, **kwargs: Any) -> Any:
            flat = tree.flatten((args, kwargs))
            if self._depth or not any(isinstance(x, KerasTensor | keras.Variable) for x in flat):
                return original(*args, **kwargs)
            given = tree.map_structure(lambda x: self.symbol(x) if isinstance(x, keras.Variable) else x, (args, kwargs))
            return function(*given[0], **given[1])

        return called

    def maker(self, kind: str, original: Callable[..., Any]) -> Callable[..., Any]:
        """A function that makes arrays: of a size that varies they stand in the graph."""
        made = in_the_graph(kind, original)
        return lambda *args, **kwargs: (original if self._depth else made)(*args, **kwargs)

    def sign(self, original: Callable[..., Any], name: str) -> Callable[..., Any]:
        """An operator of a variable, with whatever stands behind it."""
        written = getattr(operator, name)

        def called(variable: Any, other: Any) -> Any:
            if self._depth:
                return original(variable, other)
            return written(self.symbol(variable), self.symbol(other) if isinstance(other, keras.Variable) else other)

        return called

    def layer(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """The call of a layer: of arrays too it stands in the graph. What is done within it is its own affair."""

        def called(layer: Any, *args: Any, **kwargs: Any) -> Any:
            if not self._depth:
                args, kwargs = tree.map_structure(self._told, (args, kwargs))
            self._depth += 1
            try:
                return original(layer, *args, **kwargs)
            finally:
                self._depth -= 1

        return called

    def _told(self, value: Any) -> Any:
        is_held = isinstance(value, keras.Variable | np.ndarray) or keras.ops.is_tensor(value)
        return self.symbol(value) if is_held else value


@contextlib.contextmanager
def followed() -> Iterator[Following]:
    """Functions of tf and keras.ops, and layers, stand in the graph while a layer's call is traced."""
    following = Following()
    plain = {name: getattr(ops, name) for name in _PLAIN}
    everywhere = plain | _OTHER
    of_keras = {name: f for name, f in vars(ops).items() if inspect.isfunction(f) and name not in _NEVER}
    with contextlib.ExitStack() as stack:
        for holder, functions in (
            (tf, everywhere),
            (tf.nn, _NN),
            (tf.math, {name: everywhere.get(name) or getattr(ops, name) for name in _MATH} | _ONLY_MATH),
            (tf.linalg, {"matmul": _matmul, "l2_normalize": _l2_normalize}),
            (ops, of_keras),
        ):
            for name, function in functions.items():
                if (original := getattr(holder, name, None)) is not None:
                    stack.enter_context(mock.patch.object(holder, name, following.function(original, function)))
        for kind in MAKERS:
            stack.enter_context(mock.patch.object(ops, kind, following.maker(kind, getattr(ops, kind))))
        for sign in _SIGNS:
            name = f"__{sign}__"
            if (original := getattr(keras.Variable, name, None)) is not None:
                stack.enter_context(mock.patch.object(keras.Variable, name, following.sign(original, name)))
        added = lambda layer, loss: following.losses.append(str(layer.name))  # noqa: E731
        stack.enter_context(mock.patch.object(keras.Layer, "add_loss", added))
        stack.enter_context(mock.patch.object(keras.Layer, "__call__", following.layer(keras.Layer.__call__)))
        yield following

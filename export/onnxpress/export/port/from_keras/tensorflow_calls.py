"""Functions of `tf` that an author's own layer calls, as the operations of Keras that they are, while it is traced."""

from __future__ import annotations

import contextlib
import functools
import inspect
import operator
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from keras import KerasTensor, ops, tree
from keras.src.ops.numpy import Multiply

from onnxpress.export.port.from_keras.answering import by_small_sizes
from onnxpress.export.port.from_keras.cutting import cut, is_cut, varies
from onnxpress.export.port.from_keras.stand_ins import MAKERS, in_the_graph
from onnxpress.export.port.from_keras.tensorflow_functions import OF_BACKEND, OF_TENSORFLOW, RANDOM, within
from onnxpress.export.port.refusal import NoCorrespondence

_NEVER = ("is_tensor", "shape", "convert_to_numpy", "cond", "while_loop", "fori_loop", "scan", "map", "vectorized_map")
"""of keras.ops: those that ask what something is, and those that take functions"""
_SIGNS = ("add", "sub", "mul", "truediv", "pow", "matmul", "floordiv", "mod")
_KERAS = os.path.dirname(keras.__file__)
_ORDERS = ("lt", "le", "gt", "ge", "eq", "ne")
_OF_TF: dict[str, Callable[..., Any]] = {
    "range": lambda start, limit=None, delta=1, dtype="int32": ops.arange(start, limit, delta, dtype=dtype),
    "ones": lambda shape, dtype="float32": ops.ones(shape, dtype=dtype),
    "zeros": lambda shape, dtype="float32": ops.zeros(shape, dtype=dtype),
    "fill": lambda dims, value: ops.full(dims, value),
    "eye": lambda num_rows, num_columns=None, dtype="float32": ops.eye(num_rows, num_columns, dtype=dtype),
}
"""what makes arrays of a size, by the functions of keras.ops, which stand in the graph where the size varies"""


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

        def called(*args: Any, **kwargs: Any) -> Any:
            if self._depth:
                return original(*args, **kwargs)
            self._depth += 1  # what Keras calls of tf is its own affair
            try:
                return made(*args, **kwargs)
            finally:
                self._depth -= 1

        return called

    def making(self, original: Callable[..., Any], make: Callable[..., Any]) -> Callable[..., Any]:
        """A function that makes an array: where a size that varies says how long, it stands in the graph."""

        def called(*args: Any, name: Any = None, **kwargs: Any) -> Any:
            if self._depth or not varies(*args, *kwargs.values()):
                return original(*args, **kwargs)
            return make(*args, **kwargs)

        return called

    def item(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """An index of a variable, and one that goes as far as a size that varies."""

        def called(held: Any, key: Any) -> Any:
            if self._depth or not (is_cut(key) or isinstance(held, keras.Variable)):
                return original(held, key)
            symbol = held if isinstance(held, KerasTensor) else self.symbol(held)
            return cut(symbol, key) if is_cut(key) else symbol[key if isinstance(key, tuple) else (key,)]

        return called

    def drawing(self, original: Callable[..., Any], name: str) -> Callable[..., Any]:
        """A function that draws at random, which the author's own code may not call."""

        def called(*args: Any, **kwargs: Any) -> Any:
            if self._depth:
                return original(*args, **kwargs)
            raise NoCorrespondence(
                f"{name} draws other numbers with each call, which has no correspondence",
                hint="where it is for training alone, use a layer such as keras.layers.GaussianNoise or Dropout",
            )

        return called

    def compiled(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """The call of a tf.function: of what stands in the graph, that of the author's own function."""

        def called(function: Any, *args: Any, **kwargs: Any) -> Any:
            is_symbol = any(isinstance(x, KerasTensor) for x in tree.flatten((args, kwargs)))
            return (function.python_function if is_symbol else functools.partial(original, function))(*args, **kwargs)

        return called

    def sign(self, original: Callable[..., Any], name: str) -> Callable[..., Any]:
        """An operator of a variable, with whatever stands behind it."""
        written = getattr(operator, name)

        def called(variable: Any, other: Any) -> Any:
            if self._depth:
                return original(variable, other)
            return written(self.symbol(variable), self.symbol(other) if isinstance(other, keras.Variable) else other)

        return called

    def likeness(self, original: Callable[..., Any], name: str) -> Callable[..., Any]:
        """`==` and `!=` of the author's code, which KerasTensors have not: Keras's own tells by them which is which."""
        written = getattr(ops, {"eq": "equal", "ne": "not_equal"}[name])

        def called(tensor: Any, other: Any) -> Any:
            if self._depth or sys._getframe(1).f_code.co_filename.startswith(_KERAS) or other is None:
                return original(tensor, other)
            return written(tensor, other)

        return called

    def sign_of_array(self, original: Callable[..., Any], name: str) -> Callable[..., Any]:
        """An operator of an array that was made before, with something of the graph behind it."""
        written = getattr(operator, name)

        def called(array: Any, other: Any) -> Any:
            if self._depth or not isinstance(other, KerasTensor):
                return original(array, other)
            return written(self.symbol(array), other)

        return called

    def layer(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """The call of a layer: of arrays too it stands in the graph. What is done within it is its own affair."""

        def called(layer: Any, *args: Any, **kwargs: Any) -> Any:
            if not self._depth:
                args, kwargs = tree.map_structure(self._told, (args, kwargs))
            self._depth += 1
            try:
                return original(layer, *args, **kwargs)
            except Exception:
                found = None
                with contextlib.suppress(Exception):  # what is raised of the numbers is told
                    found = by_small_sizes(original, layer, args, kwargs) if self._depth == 1 else None
                if found is None:
                    raise
                return found
            finally:
                self._depth -= 1

        return called

    def _told(self, value: Any) -> Any:
        is_held = isinstance(value, keras.Variable | np.ndarray) or keras.ops.is_tensor(value)
        return self.symbol(value) if is_held else value


def counterpart(function: Any) -> Any:
    """What a function of TensorFlow is in Keras's operations; any other function itself."""
    return _by_identity().get(id(function), function)


@functools.cache
def _by_identity() -> dict[int, Callable[..., Any]]:
    return {id(within(tf, name)): function for name, function in OF_TENSORFLOW.items()}


def dense(original: Callable[..., Any]) -> Callable[..., Any]:
    """What a product looks like, which Keras takes for sparse where the other factor is a number."""

    def told(operation: Any, x1: Any, x2: Any) -> Any:
        found = original(operation, x1, x2)
        is_sparse = any(isinstance(x, KerasTensor) and x.sparse for x in (x1, x2))
        return found if is_sparse else KerasTensor(found.shape, found.dtype)

    return told


@contextlib.contextmanager
def followed() -> Iterator[Following]:
    """Functions of tf and keras.ops, and layers, stand in the graph while a layer's call is traced."""
    following = Following()
    of_keras = {name: f for name, f in vars(ops).items() if inspect.isfunction(f) and name not in _NEVER}
    written = [(tf, name, function) for name, function in OF_TENSORFLOW.items()]
    written += [(tf.keras.backend, name, function) for name, function in OF_BACKEND.items()]
    written += [(ops, name, function) for name, function in of_keras.items()]
    with contextlib.ExitStack() as stack:
        for holder, path, function in written:
            parent, _, name = path.rpartition(".")
            inside = within(holder, parent) if parent else holder
            original = getattr(inside, name)
            stack.enter_context(mock.patch.object(inside, name, following.function(original, function)))
        for kind in MAKERS:
            stack.enter_context(mock.patch.object(ops, kind, following.maker(kind, getattr(ops, kind))))
        for name, make in _OF_TF.items():
            stack.enter_context(mock.patch.object(tf, name, following.making(getattr(tf, name), make)))
        for indexed in (KerasTensor, keras.Variable, tf.Tensor):
            get = "__getitem__"
            stack.enter_context(mock.patch.object(indexed, get, following.item(getattr(indexed, get))))
        for random, called in ((tf.random, "tf.random"), (keras.random, "keras.random")):
            for name in [name for name in RANDOM if hasattr(random, name)]:
                draw = following.drawing(getattr(random, name), f"{called}.{name}")
                stack.enter_context(mock.patch.object(random, name, draw))
        compiled = type(tf.function(len))
        stack.enter_context(mock.patch.object(compiled, "__call__", following.compiled(compiled.__call__)))
        for sign in _SIGNS:
            name = f"__{sign}__"
            if (original := getattr(keras.Variable, name, None)) is not None:
                stack.enter_context(mock.patch.object(keras.Variable, name, following.sign(original, name)))
        told = dense(Multiply.compute_output_spec)
        stack.enter_context(mock.patch.object(Multiply, "compute_output_spec", told))
        for sign in ("eq", "ne"):
            name = f"__{sign}__"
            own = following.likeness(getattr(KerasTensor, name), sign)
            stack.enter_context(mock.patch.object(KerasTensor, name, own))
        for sign in (*_SIGNS, *_ORDERS):
            name = f"__{sign}__"
            own = following.sign_of_array(getattr(tf.Tensor, name), sign)
            stack.enter_context(mock.patch.object(tf.Tensor, name, own))
        added = lambda layer, loss: following.losses.append(str(layer.name))  # noqa: E731
        stack.enter_context(mock.patch.object(keras.Layer, "add_loss", added))
        stack.enter_context(mock.patch.object(keras.Layer, "__call__", following.layer(keras.Layer.__call__)))
        yield following

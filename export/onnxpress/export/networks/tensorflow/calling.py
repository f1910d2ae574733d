"""How a Keras model is called: its inputs by the author's names, in the structure that its call takes."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from onnxpress.core.tensors import TensorSpec

Calling = Callable[[Any, list[Any], bool], Any]


def input_names(model: Any) -> list[str]:
    """The names of `model.inputs`, in their order: the author's keys where the model takes a dict."""
    keys = _keys(model)
    return [keys.get(id(value), value.name) for value in model.inputs]


def arranged(model: Any, names: Sequence[str], tensors: Sequence[Any]) -> Any:
    """What a model with declared inputs is called with; other names than its own stand in the order of its inputs."""
    own = [name.partition(":")[0] for name in input_names(model)]
    if set(own) == set(names):
        by_name = dict(zip(names, tensors, strict=True))
        tensors = [by_name[name] for name in own]
    keys, structure = _keys(model), getattr(model, "_inputs_struct", None)
    if keys:
        return {keys[id(value)]: tensor for value, tensor in zip(model.inputs, tensors, strict=True)}
    if structure is not None:
        return keras.tree.pack_sequence_as(structure, list(tensors))
    return tensors[0] if len(tensors) == 1 else list(tensors)


def _keys(model: Any) -> dict[int, str]:
    """Of a functional model that takes a flat dict: the identity of each input tensor → its key."""
    structure = getattr(model, "_inputs_struct", None)
    if not isinstance(structure, dict):
        return {}
    keys = {id(value): str(key) for key, value in structure.items()}
    return keys if set(keys) == {id(value) for value in model.inputs} else {}


def named_specs(given: Any) -> list[TensorSpec]:
    """The inputs of a model that declares none, told by what it is called with: a dict, or arrays in their order."""
    if not isinstance(given, dict):
        values = given if isinstance(given, list | tuple) else [given]
        names = ["input"] if len(values) == 1 else [f"input_{number}" for number in range(len(values))]
        given = dict(zip(names, values, strict=True))
    arrays = {name: np.asarray(value) for name, value in given.items()}
    return [
        TensorSpec(name=name, dtype=str(array.dtype), shape=("batch", *array.shape[1:]))
        for name, array in arrays.items()
    ]


def how_called(model: Any, names: Sequence[str], tensors: Sequence[Any], given: Any) -> Calling:
    """How a model without declared inputs takes them: by the names of its arguments, as a dict, or by position.

    A dict of examples is what the author calls the model with, unless the model cannot take it. Where no example says
    it, described names tell: those of its arguments, else a dict, else a list.
    """
    arguments = inspect.signature(model.call).parameters
    named = isinstance(given, dict) or (given is None and len(names) > 1)
    if named and len(names) > 1 and set(names) <= set(arguments):
        return lambda model, tensors, training: model(**dict(zip(names, tensors, strict=True)), training=training)
    if named and names[0] not in arguments:

        def as_dict(model: Any, tensors: list[Any], training: bool) -> Any:
            return model(dict(zip(names, tensors, strict=True)), training=training)

        with contextlib.suppress(Exception):
            as_dict(model, list(tensors), False)
            return as_dict
    return lambda model, tensors, training: model(tensors[0] if len(tensors) == 1 else list(tensors), training=training)

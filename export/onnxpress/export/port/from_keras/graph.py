"""The graph of a Keras model or layer: every call of a layer or an operation, in an order that can be run."""

from __future__ import annotations

import functools
import inspect
import linecache
import os
import re
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np
from keras import KerasTensor, tree
from keras.src.backend.common import global_state
from keras.src.layers.layer import CallContext

from onnxpress.core.raised import own_frame, place
from onnxpress.export.port.from_keras.tensorflow_calls import counterpart, followed
from onnxpress.export.port.refusal import NoCorrespondence


class NoAnswer(NoCorrespondence):
    """Raised of a function that answers no tensor."""


@dataclass(frozen=True)
class Call:
    """One call. Arguments hold KerasTensors, variables, arrays and plain values."""

    operation: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: list[KerasTensor]


@dataclass(frozen=True)
class Graph:
    """What computes `outputs`, a structure of KerasTensors, from `inputs`."""

    inputs: list[KerasTensor]
    outputs: Any
    calls: list[Call]
    held: dict[int, Any] = field(default_factory=dict)
    """the id of a KerasTensor → the variable or array that it tells"""
    never: frozenset[int] = frozenset()
    """the ids of the layers that are told not to train, whoever calls the model"""
    losses: tuple[str, ...] = ()
    """the layers that add to the loss"""


def is_graph(layer: Any) -> bool:
    """Whether Keras itself keeps the layer's graph: a functional or sequential model that is built."""
    if isinstance(layer, keras.Sequential):
        return bool(layer.built and layer.inputs)
    return isinstance(layer, keras.Model) and type(layer).call is _functional().call and bool(layer.inputs)


@functools.cache
def _functional() -> Any:
    """The class that Keras makes of a model of inputs and outputs."""
    x = keras.Input((1,))
    return type(keras.Model(x, keras.layers.Identity()(x)))


def graph_of(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Graph:
    """The graph of the layer as it is called here. Raises NoCorrespondence with the line that cannot be followed."""
    if is_graph(layer):
        inputs = list(layer.inputs)
        structure = getattr(layer, "_outputs_struct", None) if not isinstance(layer, keras.Sequential) else None
        outputs = structure if structure is not None else layer.outputs[0]
        return Graph(inputs, outputs, _calls(inputs, outputs))
    fresh = tree.map_structure(_fresh, (args, kwargs))
    found = traced(layer.call, fresh[0], fresh[1], str(layer.name))
    if not any(acts_in_training(inner) for inner in layer._flatten_layers(include_self=False)):
        return found
    return replace(found, never=_never_trained(layer, fresh[0], fresh[1]))


def acts_in_training(layer: Any) -> bool:
    """Whether a layer of Keras does something else in training."""
    kind = type(layer).__name__
    if isinstance(layer, keras.layers.BatchNormalization):
        return bool(layer.trainable)
    rates = (getattr(layer, name, 0) for name in ("rate", "dropout", "recurrent_dropout"))
    return kind.startswith(("Random", "Gaussian")) or any(isinstance(rate, float) and rate > 0 for rate in rates)


def _never_trained(layer: Any, args: Any, kwargs: Any) -> frozenset[int]:
    """The layers that are called with training=False even while the model trains, told by tracing it so."""
    given = dict(kwargs)
    if "training" in inspect.signature(layer.call).parameters:
        given["training"] = True
    context = CallContext(entry_layer=None)
    context.set_value("training", True)
    before = global_state.get_global_attribute("current_call_ctx")
    global_state.set_global_attribute("current_call_ctx", context)
    try:
        calls = traced(layer.call, args, given, str(layer.name)).calls
    except NoCorrespondence:  # what it does in training alone is nothing that is carried: the proof tells
        return frozenset()
    finally:
        global_state.set_global_attribute("current_call_ctx", before)
    return frozenset(id(call.operation) for call in calls if call.kwargs.get("training") is False)


def trains_otherwise(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether the layer's own call, as its class writes it, computes something else in training mode."""
    if is_graph(layer) or "training" not in inspect.signature(layer.call).parameters:
        return False
    ways = []
    held = [(weight, np.array(weight)) for weight in layer.weights]
    try:
        for training in (False, True):
            fresh = tree.map_structure(_fresh, (args, kwargs))
            graph = traced(layer.call, fresh[0], {**fresh[1], "training": training}, str(layer.name))
            ways.append([_told(call) for call in graph.calls])
    except NoCorrespondence:  # it changes a variable, say
        return True
    finally:
        for weight, value in held:
            weight.assign(value)
    return ways[0] != ways[1]


def _told(call: Call) -> tuple[Any, ...]:
    """What a call is, without its tensors: the layer itself, or the operation's kind and its plain arguments."""
    is_layer = isinstance(call.operation, keras.layers.Layer)
    plain = tree.flatten(({k: v for k, v in call.kwargs.items() if k != "training"}, call.args))
    numbers = [v for v in plain if isinstance(v, int | float | str)]
    options = vars(call.operation) if not is_layer else {}
    kept = sorted((k, v) for k, v in options.items() if isinstance(v, int | float | str) and not k.startswith("_"))
    named = id(call.operation) if is_layer else type(call.operation).__name__
    return named, numbers, [(k, v) for k, v in kept if k != "name"]


def traced(function: Callable[..., Any], args: Any, kwargs: Any, name: str) -> Graph:
    """The graph of a plain function of KerasTensors."""
    inputs = [x for x in tree.flatten((args, kwargs)) if isinstance(x, KerasTensor)]
    function = counterpart(function)
    try:
        with followed() as following:
            outputs = function(*args, **kwargs)
    except NoCorrespondence as error:
        error.where = error.where or place(_own_frame(error)) or name
        raise
    except Exception as error:
        raise NoCorrespondence(_why(error), where=place(_own_frame(error)) or name, hint=_instead(error)) from error
    if not any(isinstance(x, KerasTensor) for x in tree.flatten(outputs)):
        raise NoAnswer("it answers no tensor of the graph", where=name)
    calls = _calls(inputs, outputs, set(following.held))
    return Graph(inputs, outputs, calls, following.held, losses=tuple(following.losses))


def _fresh(value: Any) -> Any:
    if not isinstance(value, KerasTensor):
        return value
    return keras.Input(batch_shape=value.shape, dtype=value.dtype)


def _own_frame(error: BaseException) -> traceback.FrameSummary | None:
    """The innermost frame that is the user's."""
    inside = (os.path.dirname(keras.__file__), os.path.dirname(os.path.dirname(__file__)))
    return own_frame(error, lambda file: file.startswith(inside) or "site-packages" in file)


_TAKES_NO_SYMBOL = "cannot be used as input to a TensorFlow function"


def _why(error: BaseException) -> str:
    """What cannot be traced: the function of TensorFlow that a symbol was given to, or what was raised."""
    said = str(error).strip().partition("\n")[0] or type(error).__name__
    if _TAKES_NO_SYMBOL not in said:
        return f"this line cannot be traced: {said}"
    return f"{_called(_own_frame(error))} has no correspondence"


def _called(own: traceback.FrameSummary | None) -> str:
    """What the line calls, as it is written there."""
    if own is None or own.lineno is None:
        return "a function of TensorFlow"
    line = linecache.getline(own.filename, own.lineno).encode()
    name = line[own.colno : own.end_colno].decode().partition("(")[0]
    return name if re.fullmatch(r"[\w.]+", name) else "a function of TensorFlow"


def _instead(error: BaseException) -> str | None:
    return "write the line with keras.ops" if _TAKES_NO_SYMBOL in str(error) else None


def _calls(inputs: list[KerasTensor], outputs: Any, held: set[int] | None = None) -> list[Call]:
    """All calls that the outputs depend on, each after what it takes."""
    known = {id(x) for x in inputs} | (held or set())
    done: set[int] = set()
    found: list[Call] = []
    stack: list[tuple[Any, bool]] = [(_node(x), False) for x in reversed(tree.flatten(outputs)) if _is_made(x, known)]
    while stack:
        node, is_ready = stack.pop()
        if id(node) in done:
            continue
        if is_ready:
            done.add(id(node))
            found.append(Call(node.operation, node.arguments.args, node.arguments.kwargs, node.outputs))
            continue
        stack.append((node, True))
        stack += [(_node(x), False) for x in reversed(node.input_tensors) if _is_made(x, known)]
    return [call for call in found if not isinstance(call.operation, keras.layers.InputLayer)]


def _is_made(value: Any, known: set[int]) -> bool:
    return isinstance(value, KerasTensor) and id(value) not in known


def _node(value: Any) -> Any:
    history = value._keras_history
    return history.operation._inbound_nodes[history.node_index]

"""The calls of a graph, one after the other: known layers and operations, models and layers of the author's own."""

from __future__ import annotations

import inspect
import re
from typing import Any

import keras
import numpy as np
from keras import KerasTensor, tree

from onnxpress.export.port.code import identifier
from onnxpress.export.port.from_keras import made
from onnxpress.export.port.from_keras.builder import Builder
from onnxpress.export.port.from_keras.cutting import Cut
from onnxpress.export.port.from_keras.graph import (
    Call,
    Graph,
    acts_in_training,
    graph_of,
    is_graph,
    traced,
    trains_otherwise,
)
from onnxpress.export.port.from_keras.masks import OUTSIDE, UNTOLD, Within, coming_in, mask_behind, mask_of
from onnxpress.export.port.from_keras.naming import counted
from onnxpress.export.port.from_keras.registry import LAYERS, OPERATIONS
from onnxpress.export.port.from_keras.shared import Shared
from onnxpress.export.port.from_keras.stand_ins import Made
from onnxpress.export.port.from_keras.values import Value
from onnxpress.export.port.layout import Unordered
from onnxpress.export.port.refusal import NoCorrespondence
from onnxpress.export.port.steps import Ref


class GraphBuilder(Builder):
    """Makes the block of one model or layer of the author's own."""

    def __init__(self, shared: Shared, path: str, keras_layer: Any, called: str = "") -> None:
        super().__init__(shared, path, class_name(keras_layer, called), str(keras_layer.name))
        self._layer = keras_layer
        self.blocks: dict[str, tuple[Any, Any]] = {}
        """path → the layouts that the block is called with, and what it answers"""
        self._counted: dict[int, str] = {}
        """names that Keras gave, as this model alone would count them"""
        self.told_mask = False
        """whether the call that is being written gives its mask itself"""
        self._attributes = {} if is_graph(keras_layer) else attributes_of(keras_layer)

    def name_of(self, keras_layer: Any) -> str:
        """The attribute that the author gave it, or the layer's name."""
        own = self._counted.get(id(keras_layer), str(keras_layer.name))
        return self._attributes.get(id(keras_layer), own)

    def name_of_variable(self, variable: Any) -> str:
        """The same of a variable."""
        return self._attributes.get(id(variable), str(variable.name))

    def graph(self, graph: Graph, given: list[Value]) -> Any:
        """The graph's outputs, in their structure, from the values of its inputs."""
        known = {id(tensor): value for tensor, value in zip(graph.inputs, given, strict=True)}
        layers = [call.operation for call in graph.calls if id(call.operation) not in self._attributes]
        self._counted |= counted(layers, nested=bool(self.path))
        known |= {number: self._read(held, {}) for number, held in graph.held.items()}
        self.shared.differences += [
            f"{name}: what it adds to the loss is left to the training loop" for name in graph.losses
        ]
        for call in graph.calls:
            if id(call.operation) in graph.never and any(map(acts_in_training, _within(call.operation))):
                raise self.refuse(
                    f"{call.operation.name}, which is called with training=False always, has no correspondence",
                    "leave out its dropout, or freeze its batch norm",
                )
            found = self.called(call, known)
            for tensor, value in zip(call.outputs, _flat(found), strict=True):
                known[id(tensor)] = value
        return tree.map_structure(lambda x: known[id(x)] if isinstance(x, KerasTensor) else x, graph.outputs)

    def called(self, call: Call, known: dict[int, Value]) -> Any:
        """The values of one call. Raises NoCorrespondence for what the table has no row for."""
        layer = call.operation
        before, self.where = self.where, f"{self.keras_name}, {layer.name}"
        args, kwargs = tree.map_structure(lambda x: self._read(x, known), (call.args, call.kwargs))
        if kwargs.pop("training", None) and not is_preprocessing(layer):
            raise self.refuse("a layer that is called with training=True has no correspondence")
        if not (self.is_block(layer) and not is_graph(layer)):  # which an author's own layer takes as any argument
            mask = kwargs.pop("mask", None)
            self.told_mask = isinstance(mask, Value)
            if isinstance(mask, Value):
                args[0].mask = mask
        try:
            found = self.written(layer, args, kwargs)
        except (NoCorrespondence, Unordered):
            raise
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            raise self.refuse(f"{type(layer).__name__}, as it is called here, cannot be written: {said}") from error
        if isinstance(layer, keras.Layer):
            mask_behind(self, layer, args, found)
        self.where = before
        return found

    def written(self, layer: Any, args: Any, kwargs: Any) -> Any:
        """A known layer or operation, or a block."""
        known = keras_class(layer)
        kind = (known or type(layer)).__name__
        if isinstance(layer, keras.layers.Lambda):
            return self.inline(lambda *a, **k: layer.function(*a, **k, **(layer.arguments or {})), args, kwargs)
        if self.is_block(layer):
            return self.child(layer, args, kwargs)
        if isinstance(layer, Made):
            return made.written(self, layer)
        if known is None and not isinstance(layer, Cut):
            raise self.refuse(f"there is no correspondence of {kind}")
        if isinstance(layer, keras.Layer):
            if str(layer.compute_dtype or "float32") not in ("float32", "int64", "int32"):
                raise self.refuse(
                    f"a layer that computes in {layer.compute_dtype} has no correspondence", "use float32"
                )
            if kind not in LAYERS:
                raise self.refuse(f"there is no correspondence of the layer {kind}")
            return LAYERS[kind](self, layer, *args, **kwargs)
        if kind not in OPERATIONS:
            raise self.refuse(f"there is no correspondence of the operation {kind}")
        return OPERATIONS[kind](self, layer, *args, **kwargs)

    @staticmethod
    def is_block(layer: Any) -> bool:
        """Whether it is a model, or a layer of the author's own."""
        return is_graph(layer) or (isinstance(layer, keras.Layer) and not is_of_keras(layer))

    def _read(self, value: Any, known: dict[int, Value]) -> Any:
        if isinstance(value, KerasTensor):
            return known[id(value)]
        if isinstance(value, keras.Variable):
            return self.variable(value)
        if isinstance(value, np.ndarray | np.generic) or keras.ops.is_tensor(value):
            array = np.asarray(value)
            if array.size == 1 and array.ndim == 0:
                return array.item()
            if any(self.varies(size) for size in array.shape):
                raise self.refuse(
                    "an array as long as a size that varies is made while the layer is called", "fix the size"
                )
            return self.variable(array)
        return value

    def inline(self, function: Any, args: Any, kwargs: Any) -> Any:
        """What a plain function of the author's does, in this block."""
        symbols: list[tuple[KerasTensor, Value]] = []

        def symbol(value: Any) -> Any:
            if not isinstance(value, Value):
                return value
            if value.variable is not None:
                return value.variable
            symbols.append((keras.Input(batch_shape=self.stand_ins(value), dtype=value.dtype), value))
            return symbols[-1][0]

        fresh_args, fresh_kwargs = tree.map_structure(symbol, (args, kwargs))
        graph = traced(function, fresh_args, fresh_kwargs, self.where)
        by = {id(tensor): value for tensor, value in symbols}
        return self.graph(graph, [by[id(tensor)] for tensor in graph.inputs])

    def child(self, layer: Any, args: Any, kwargs: Any) -> Any:
        """The call of a model or of a layer of the author's own, as a block."""
        given = [v for v in tree.flatten((args, kwargs)) if isinstance(v, Value) and v.variable is None]
        tensors = [self.settled_for_block(v) for v in given]  # a variable is read within
        layouts = [(v.perm, v.shown.first[1:]) for v in tensors]
        key = (id(layer), "block")
        if key not in self.paths:
            self.own(layer)
            path = self.free(self.name_of(layer))
            inner = GraphBuilder(self.shared, f"{self.path}{path}.", layer, path)
            graph = self._graph_of(layer, args, kwargs)
            names = argument_names(layer, graph, args, kwargs)
            fresh = [
                inner.input(name, self.pairs[v.ref.number], v.perm) for name, v in zip(names, tensors, strict=True)
            ]
            self._masks_inside(inner, fresh, tensors)
            outputs = tree.map_structure(inner.settled_for_block, inner.graph(graph, fresh))
            answered = outputs
            if isinstance(outputs, Value) and ("mask out", inner.path) in self.shared.settled:
                outputs.mask = mask_of(inner, outputs)
                answered = (outputs, outputs.mask)
            self.children[path] = inner.block(answered)
            self.owner.add_module(path, inner.owner)
            self.paths[key] = path
            self.blocks[path] = (layouts, outputs)
        path = self.paths[key]
        known, outputs = self.blocks[path]
        if len(known) != len(layouts) or any(len(a[0]) != len(b[0]) for a, b in zip(known, layouts, strict=True)):
            raise self.refuse(f"{layer.name} is called with tensors of two forms", "call it with one")
        why = "in the order of axes of this layer's first call"
        given = [self.in_layout(v, perm, why) for v, (perm, _) in zip(tensors, known, strict=True)]
        if coming_in(f"{self.path}{path}.") in self.shared.settled:
            given += self._distinct_masks(tensors)
        return self._answers(self.step("block", path, tuple(given)), outputs, path, tensors)

    def _distinct_masks(self, tensors: list[Value]) -> list[Value]:
        masks = [mask_of(self, v) for v in tensors]
        return list({mask.ref.number: mask for mask in masks if mask is not None}.values())

    def _masks_inside(self, inner: GraphBuilder, fresh: list[Value], tensors: list[Value]) -> None:
        """What the block's arguments have as masks: `OUTSIDE`, or arguments themselves where something reads them."""
        if coming_in(inner.path) not in self.shared.settled:
            for value, outer in zip(fresh, tensors, strict=True):
                value.mask = OUTSIDE if outer.mask is not None else None
            return
        masks = self._distinct_masks(tensors)
        names = ["seen"] if len(masks) == 1 else [f"seen_{number}" for number in range(len(masks))]
        within = {
            mask.ref.number: inner.input(name, self.pairs[mask.ref.number], mask.perm)
            for name, mask in zip(names, masks, strict=True)
        }
        for value, outer in zip(fresh, tensors, strict=True):
            mask = mask_of(self, outer)
            value.mask = None if mask is None else within[mask.ref.number]

    def _graph_of(self, layer: Any, args: Any, kwargs: Any) -> Graph:
        def symbol(value: Any) -> Any:
            if not isinstance(value, Value):
                return value
            if value.variable is not None:
                return value.variable
            return KerasTensor(value.sizes if is_graph(layer) else self.stand_ins(value), value.dtype)

        fresh = tree.map_structure(symbol, (args, kwargs))
        graph = graph_of(layer, fresh[0], fresh[1])
        if trains_otherwise(layer, fresh[0], fresh[1]):
            self.shared.differences.append(f"{layer.name}: its call does something else in training, which is left out")
        return graph

    def _answers(self, number: int, outputs: Any, path: str, given: list[Value]) -> Any:
        """The block's answers as values here, with the masks that they have."""
        place = ("mask out", f"{self.path}{path}.")
        if isinstance(outputs, Value) and place in self.shared.settled:
            found = self._item(number, 0, outputs)
            found.mask = self._item(number, 1, outputs.mask)
            return found
        if isinstance(outputs, Value):
            found = self.value(number, outputs.perm)
            found.mask = self._mask_outside(outputs, Within(place), given)
            return found
        return self._several(number, outputs, given)

    def _several(self, number: int, outputs: Any, given: list[Value]) -> Any:
        """Each part of a structure of answers, which the step computes."""
        if isinstance(outputs, dict):
            return {key: self._one_of_several(number, key, v, given) for key, v in outputs.items()}
        return [self._one_of_several(number, n, v, given) for n, v in enumerate(outputs)]

    def _one_of_several(self, number: int, key: Any, answer: Any, given: list[Value]) -> Any:
        if answer is None:
            return None
        if not isinstance(answer, Value):
            return self._several(self.step("function", "getitem", (Ref(number), key)), answer, given)
        found = self._item(number, key, answer)
        found.mask = self._mask_outside(answer, UNTOLD, given)
        return found

    @staticmethod
    def _mask_outside(answer: Value, within: Any, given: list[Value]) -> Any:
        """The mask of a block's answer: none, that of an argument that is handed through, or one made `within`."""
        if answer.mask is OUTSIDE:
            masks = [v.mask for v in given if v.mask is not None]
            return masks[0] if len({id(mask) for mask in masks}) == 1 else within
        return None if answer.mask is None else within

    def _item(self, number: int, key: Any, value: Any) -> Value:
        return self.value(self.step("function", "getitem", (Ref(number), key)), value.perm)

    def settled_for_block(self, value: Any) -> Any:
        """What crosses the border of a block, its last axis in Keras's order."""
        if not isinstance(value, Value):
            return value
        value = self.settle(value)
        return self.in_layout(value, value.perm, "") if value.variable is not None else value


def _within(layer: Any) -> list[Any]:
    return list(layer._flatten_layers()) if isinstance(layer, keras.Layer) else []


def attributes_of(owner: Any) -> dict[int, str]:
    """The id of each layer and variable of an author's own layer → its attribute; `blocks.0` of a list."""
    found: dict[int, str] = {}
    for name, value in vars(owner).items():
        if name.startswith("__"):
            continue
        if isinstance(value, keras.Layer | keras.Variable):
            found.setdefault(id(value), name.lstrip("_"))
        elif isinstance(value, list | tuple) and not name.startswith("_"):
            for number, item in enumerate(value):
                if isinstance(item, keras.Layer):
                    found.setdefault(id(item), f"{name}_{number}")
        elif isinstance(value, dict) and not name.startswith("_"):
            for key, item in value.items():
                if isinstance(item, keras.Layer):
                    found.setdefault(id(item), f"{name}_{key}")
    return found


def argument_names(layer: Any, graph: Graph, args: Any, kwargs: Any) -> list[str]:
    """What the arguments of a block are called."""
    if is_graph(layer):
        names = [identifier(str(x.name)) for x in graph.inputs]
        return (
            ["x"]
            if len(names) == 1
            else [f"input_{n}" if name.startswith("keras_tensor") else name for n, name in enumerate(names)]
        )
    flat: list[str] = []
    for name, value in bound(layer.call, args, kwargs).items():
        count = sum(
            isinstance(v, KerasTensor) or (isinstance(v, Value) and v.variable is None) for v in tree.flatten(value)
        )
        flat += [name] if count == 1 else [f"{name}_{n}" for n in range(count)]
    return flat


def bound(function: Any, args: Any, kwargs: Any) -> dict[str, Any]:
    """The arguments by name."""
    return dict(inspect.signature(function).bind(*args, **kwargs).arguments)


def is_of_keras(layer: Any) -> bool:
    """Whether Keras has the layer for all. What a model of keras.applications brings along is read as the author's."""
    return keras_class(layer) is not None


def keras_class(layer: Any) -> type | None:
    """Keras's class whose call this is: the layer's own, or the one that an author's class only begins otherwise.

    That is one with a kernel, of which the author's class has a `build` of its own and nothing else.
    """
    kind = type(layer)
    if not _is_for_all(kind):
        held = (getattr(layer, name, None) for name in ("kernel", "bias"))
        if len(kind.__bases__) > 1 or set(vars(kind)) - _BEGINNING or not isinstance(next(held), keras.Variable):
            return None
        if not isinstance(next(held), keras.Variable | None):
            return None
        kind = kind.__bases__[0]
    return kind if _is_for_all(kind) else None


def _is_for_all(kind: type) -> bool:
    return kind.__module__.startswith("keras.") and ".applications." not in kind.__module__


_BEGINNING = frozenset(
    ("build", "get_config", "__module__", "__qualname__", "__doc__", "__annotations__", "__firstlineno__",
     "__static_attributes__")
)  # fmt: skip
"""what a class may have that computes nothing"""


def is_preprocessing(layer: Any) -> bool:
    """Whether it is one of Keras's layers over images, whose `training` is True where nobody gives it."""
    return is_of_keras(layer) and ".preprocessing.image_preprocessing." in type(layer).__module__


def class_name(layer: Any, called: str = "") -> str:
    """Its class of the author's own, or made of a model's name: `encoder` is `Encoder`; or of what it is `called`."""
    if not is_of_keras(layer):
        return type(layer).__name__.lstrip("_") or "Block"
    name = re.sub(r"_\d+$", "", str(layer.name))
    if name in _UNNAMED:
        name = re.sub(r"_\d+$", "", called)
    if name in (*_UNNAMED, ""):
        return "Block" if called else "Network"
    return identifier("".join(part[:1].upper() + part[1:] for part in re.split(r"\W|_", name)))


_UNNAMED = ("functional", "sequential", "model")


def _flat(value: Any) -> list[Any]:
    return [v for v in tree.flatten(value) if isinstance(v, Value)]

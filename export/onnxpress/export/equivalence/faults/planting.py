"""What the planters share: sites, and edits of a copied graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from onnxpress.core.arrays import Array
from onnxpress.export.equivalence.layerwise.divergence import layers_of
from onnxpress.export.graph.editing import nodes

Edit = Callable[[onnx.ModelProto], None]
Sites = Iterator[tuple[str, Edit]]
Random = np.random.Generator
Planter = Callable[[onnx.ModelProto, Random], Sites]
PLANTERS: dict[str, Planter] = {}


def plants(kind: str) -> Callable[[Planter], Planter]:
    """Register a planter: from a sound graph, the sites where it can plant and the edit for each."""

    def add(planter: Planter) -> Planter:
        PLANTERS[kind] = planter
        return planter

    return add


def planted(model: onnx.ModelProto, edit: Edit) -> onnx.ModelProto:
    """A faulty copy."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    edit(copy)
    return copy


def planted_in(sound: onnx.ModelProto, faulty: onnx.ModelProto) -> set[str]:
    """The layers of a fault: of nodes that changed or use a changed constant, and that of the constant's own name."""
    sound_layers, faulty_layers = layers_of(sound), layers_of(faulty)
    before = {value.name: value.SerializeToString() for value in sound.graph.initializer}
    changed = {v.name for v in faulty.graph.initializer if before.get(v.name) != v.SerializeToString()}
    known = {node.output[0]: (node, layer) for node, layer in zip(sound.graph.node, sound_layers, strict=True)}
    found = set()
    for node, layer in zip(faulty.graph.node, faulty_layers, strict=True):
        old = known.get(node.output[0])
        if old is None or old[0].SerializeToString() != node.SerializeToString() or changed & set(node.input):
            found |= {layer} | ({old[1]} if old else set())
    names = [name.removeprefix("network/") for name in changed]
    return found | {name.rpartition(".")[0] for name in names if "." in name and "/" not in name}


def floats(model: onnx.ModelProto, least: int = 1) -> Iterator[tuple[str, Array]]:
    """Float initializers of at least `least` elements."""
    for value in model.graph.initializer:
        if value.data_type in (TensorProto.FLOAT, TensorProto.DOUBLE):
            array = numpy_helper.to_array(value)
            if array.size >= least:
                yield value.name, array


def constant(model: onnx.ModelProto, name: str) -> Array | None:
    """An initializer's value, or a Constant node's."""
    found = _known.of(model).get(name)
    return None if found is None else numpy_helper.to_array(found)


def taken(model: onnx.ModelProto, node: onnx.NodeProto, index: int) -> Array | None:
    """The constant that a node takes; None where it takes none there."""
    return constant(model, node.input[index]) if index < len(node.input) and node.input[index] else None


def has_tensor(node: onnx.NodeProto) -> bool:
    """Whether a Constant holds a tensor, and not a number or a list."""
    return len(node.attribute) == 1 and node.attribute[0].HasField("t")


class _Known:
    """The constants of the graph that was asked about last, by name: a search through all for each takes too long."""

    def __init__(self) -> None:
        self._model: onnx.ModelProto | None = None
        self._sizes = 0, 0
        self._by_name: dict[str, onnx.TensorProto] = {}

    def of(self, model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
        sizes = len(model.graph.initializer), len(model.graph.node)
        if self._model is not model or self._sizes != sizes:
            self._model, self._sizes = model, sizes
            made = (node for node in model.graph.node if node.op_type == "Constant" and has_tensor(node))
            self._by_name = {node.output[0]: node.attribute[0].t for node in made}
            self._by_name |= {value.name: value for value in model.graph.initializer}
        return self._by_name


_known = _Known()


def change(name: str, function: Callable[[Array], Array]) -> Edit:
    """The edit that replaces one constant, everywhere it is used."""

    def edit(model: onnx.ModelProto) -> None:
        for value in model.graph.initializer:
            if value.name == name:
                value.CopyFrom(numpy_helper.from_array(_like(numpy_helper.to_array(value), function), name))
        for node in model.graph.node:
            if node.op_type == "Constant" and node.output[0] == name and has_tensor(node):
                tensor = node.attribute[0].t
                tensor.CopyFrom(numpy_helper.from_array(_like(numpy_helper.to_array(tensor), function)))

    return edit


def change_input(place: int, index: int, function: Callable[[Array], Array]) -> Edit:
    """The edit that changes the constant that one node takes, and leaves the constant's other users alone."""

    def edit(model: onnx.ModelProto) -> None:
        node = list(nodes(model.graph))[place]
        value = constant(model, node.input[index])
        assert value is not None
        if sum(name == node.input[index] for other in nodes(model.graph) for name in other.input) == 1:
            change(node.input[index], function)(model)
            return
        name = f"planted_{place}_{index}"
        model.graph.initializer.append(numpy_helper.from_array(_like(value, function), name))
        node.input[index] = name

    return edit


def _like(value: Array, function: Callable[[Array], Array]) -> Array:
    return np.ascontiguousarray(np.asarray(function(value.copy())).astype(value.dtype))


def numbered(model: onnx.ModelProto, *operators: str) -> Iterator[tuple[int, onnx.NodeProto]]:
    """The nodes of these operators (any, without names) with their place, subgraphs included."""
    for place, node in enumerate(nodes(model.graph)):
        if not operators or node.op_type in operators:
            yield place, node


def label(place: int, node: onnx.NodeProto) -> str:
    """A node's name in the results."""
    return f"{node.op_type} {place}"


def attribute(node: onnx.NodeProto, name: str) -> Any:
    """An attribute's value, or None."""
    found = next((a for a in node.attribute if a.name == name), None)
    return None if found is None else onnx.helper.get_attribute_value(found)


def set_attribute(place: int, name: str, value: Any) -> Edit:
    """The edit that sets one attribute of one node."""

    def edit(model: onnx.ModelProto) -> None:
        node = list(nodes(model.graph))[place]
        kept = [a for a in node.attribute if a.name != name]
        del node.attribute[:]
        node.attribute.extend([*kept, onnx.helper.make_attribute(name, value)])

    return edit


def insert_after(tensor: str, make: Callable[[str, str], list[onnx.NodeProto]]) -> Edit:
    """The edit that puts nodes between a tensor of the main graph and everything that uses it."""

    def edit(model: onnx.ModelProto) -> None:
        inner = f"{tensor}/sound"
        graph = model.graph
        at = 0
        for place, node in enumerate(graph.node):
            if tensor in node.output:
                node.output[:] = [inner if name == tensor else name for name in node.output]
                at = place + 1
                made = make(inner, tensor)
                break
        else:  # an input of the graph: its users take the changed one
            inner = f"{tensor}/faulty"
            for node in graph.node:
                node.input[:] = [inner if name == tensor else name for name in node.input]
            made = make(tensor, inner)
        rest = list(graph.node)[at:]
        del graph.node[at:]
        graph.node.extend([*made, *rest])

    return edit


def replace_node(place: int, make: Callable[[onnx.NodeProto], list[onnx.NodeProto]]) -> Edit:
    """The edit that puts other nodes in one node's place, in the main graph."""

    def edit(model: onnx.ModelProto) -> None:
        graph = model.graph
        old = list(graph.node)
        made = make(old[place])
        del graph.node[:]
        graph.node.extend([*old[:place], *made, *old[place + 1 :]])

    return edit


def scalar(name: str, value: Any, dtype: type = np.float32) -> onnx.NodeProto:
    """A Constant node."""
    return onnx.helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.asarray(value, dtype)))

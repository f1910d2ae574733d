"""What a graph shows of its inputs' values: the tables that integers look up, and the words that look-ups know."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from onnxpress.export.equivalence.values import Shown

if TYPE_CHECKING:
    import onnx

_PASSES = frozenset(
    {"Cast", "Identity", "Reshape", "Unsqueeze", "Squeeze", "Flatten", "Expand", "Transpose", "Slice", "Concat", "Tile"}
    | {"Split", "Gather", "Where"}
)
"""operators whose output holds the same integers as their first input"""
_INDEX = {"Gather": (0, 1), "GatherElements": (0, 1), "ScatterElements": (0, 1), "OneHot": (-1, 0)}
"""operator → where the table is, and where the indices"""
_MOST_WORDS = 2000
_LARGE = 200_000_000
"""bytes"""


def shown(graph: onnx.ModelProto) -> Shown:
    """The size of the smallest table behind each integer input, and all words of the graph's look-ups.

    Only tables whose size the graph states count: initializers, and tensors with an inferred fixed size.
    """
    sizes: dict[str, int] = {}
    known = _shapes(_with_sizes(graph).graph)
    sources = {value.name: {value.name} for value in graph.graph.input}
    for node in graph.graph.node:
        where = _INDEX.get(node.op_type)
        if where is not None and len(node.input) > max(where):
            for name in sources.get(node.input[where[1]], ()):
                size = _table_size(node, graph.graph, known)
                if size:
                    sizes[name] = min(size, sizes.get(name, size))
        if node.op_type in _PASSES and node.input:
            reached = set().union(*(sources.get(name, set()) for name in node.input))
            for output in node.output:
                sources[output] = reached
    return Shown(sizes, tuple(dict.fromkeys(_words(graph)))[:_MOST_WORDS])


def _table_size(node: onnx.NodeProto, graph: onnx.GraphProto, shapes: dict[str, list[int]]) -> int | None:
    import onnx

    if node.op_type == "OneHot":
        for initializer in graph.initializer:
            if initializer.name == node.input[1]:
                return int(onnx.numpy_helper.to_array(initializer).ravel()[0])
        return None
    shape = shapes.get(node.input[0])
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
    if not shape or not -len(shape) <= axis < len(shape):
        return None
    return shape[axis] or None


def _with_sizes(graph: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with the sizes that ONNX infers, where integers may look something up in a tensor that is computed.

    A large one stays as it is, since inferring would copy its weights. So does one with operators of other domains:
    onnx 1.23 dies of a graph with look-ups of `ai.onnx.ml`.
    """
    import onnx

    looks_up = any(node.op_type in _INDEX for node in graph.graph.node)
    standard = all(node.domain in ("", "ai.onnx") for node in graph.graph.node)
    if not looks_up or not standard or graph.ByteSize() > _LARGE:
        return graph
    try:
        return onnx.shape_inference.infer_shapes(graph)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):
        return graph


def _shapes(graph: onnx.GraphProto) -> dict[str, list[int]]:
    """Known sizes by tensor; 0 stands for a size that varies."""
    found = {initializer.name: list(initializer.dims) for initializer in graph.initializer}
    for value in graph.value_info:
        found[value.name] = [size.dim_value for size in value.type.tensor_type.shape.dim]
    return found


def _words(graph: onnx.ModelProto) -> Iterator[str]:
    import onnx

    for node in graph.graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.STRINGS and attribute.name not in ("separators", "stopwords"):
                yield from (word.decode("utf-8", "replace") for word in attribute.strings)
    for initializer in graph.graph.initializer:
        if initializer.data_type == onnx.TensorProto.STRING:
            yield from (word.decode("utf-8", "replace") for word in initializer.string_data)

"""What a graph shows of its inputs' values: the tables that integers look up, the words it knows, where it turns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from onnxpress.export.equivalence.tree_rows import near_splits
from onnxpress.export.equivalence.turns import COMPARES, turns
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
    """The size of the smallest table behind each integer input, all words of the graph's look-ups, rows beside splits,
    the values at which it turns.

    Only tables whose size the graph states count: initializers, and tensors with an inferred fixed size.
    """
    sizes: dict[str, int] = {}
    known = _shapes(_with_sizes(graph).graph)
    integers = _Integers(graph.graph)
    for node in graph.graph.node:
        where = _INDEX.get(node.op_type)
        if where is not None and len(node.input) > max(where):
            for name, moved in integers.of(node.input[where[1]]).items():
                size = _table_size(node, graph.graph, known)
                if size and size > moved:
                    sizes[name] = min(size - moved, sizes.get(name, size))
        integers.follow(node)
    whole = [value.name for value in graph.graph.input if value.type.tensor_type.elem_type in _integer_types()]
    found = turns(graph, whole)
    values = {name: found.of(name) for name in whole}
    return Shown(
        sizes,
        tuple(dict.fromkeys(_words(graph)))[:_MOST_WORDS],
        near_splits(graph),
        {name: at for name, at in values.items() if at.size},
        frozenset(whole) - found.counts - sizes.keys(),
    )


def _integer_types() -> frozenset[int]:
    """Those of more than a byte: of bytes every value is asked anyway."""
    import onnx

    kinds = onnx.TensorProto
    return frozenset({kinds.INT16, kinds.INT32, kinds.INT64, kinds.UINT16, kinds.UINT32, kinds.UINT64})


class _Integers:
    """Which tensors hold an input's integers, and what was added to them on the way.

    TensorFlow looks up `x` where it is not negative and `x + rows` where it is, and its converter writes that choice as
    a sum of two products with a truth value each: such a product holds the integers as well, and so does the sum.
    """

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._held: dict[str, dict[str, int]] = {value.name: {value.name: 0} for value in graph.input}
        self._constants = {initializer.name: initializer for initializer in graph.initializer}
        self._truths: set[str] = set()

    def of(self, tensor: str) -> dict[str, int]:
        """Input → what was added to its integers, for the inputs whose integers the tensor holds."""
        return self._held.get(tensor, {})

    def follow(self, node: onnx.NodeProto) -> None:
        """Learn what the node's outputs hold; nodes come in the graph's order."""
        found: dict[str, int] = {}
        truths = [name for name in node.input if name in self._truths]
        if node.op_type in COMPARES or (node.op_type in ("Cast", "Not", "And", "Or") and truths):
            self._truths.update(node.output)
        elif node.op_type == "Mul" and truths:
            found = self._joined(name for name in node.input if name not in self._truths)
        elif node.op_type == "Add" and (constant := self._constant(node)) is not None:
            found = {name: moved + constant for name, moved in self._joined(node.input).items()}
        elif (node.op_type == "Add" and all(self.of(name) for name in node.input)) or node.op_type in _PASSES:
            found = self._joined(node.input)
        for output in node.output if found else ():
            self._held[output] = found

    def _joined(self, names: Iterable[str]) -> dict[str, int]:
        found: dict[str, int] = {}
        for name in names:
            for source, moved in self.of(name).items():
                found[source] = min(moved, found.get(source, moved))
        return found

    def _constant(self, node: onnx.NodeProto) -> int | None:
        """The one integer, not negative, that an Add adds to all."""
        import onnx

        for name in node.input:
            value = self._constants.get(name)
            if value is not None and value.data_type in (onnx.TensorProto.INT32, onnx.TensorProto.INT64):
                array = onnx.numpy_helper.to_array(value)
                return int(array.ravel()[0]) if array.size == 1 and array.ravel()[0] >= 0 else None
        return None


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

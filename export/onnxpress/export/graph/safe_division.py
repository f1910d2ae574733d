"""Integer divisions rewritten so that the smallest integer by -1 is answered, where the processor would trap.

A framework answers what two's complement gives: the quotient is the smallest integer again, the remainder 0. ONNX
Runtime divides without looking, and the process dies. So -1 is taken out of the divisor: `a / -1` is `-a`, and a
remainder by 1 is the same as by -1.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx

_INT32, _INT64 = 6, 7
_DTYPES = {_INT32: "int32", _INT64: "int64"}


def make_safe(proto: onnx.ModelProto, trapping: Collection[str]) -> int:
    """Rewrite the nodes that `trapping` names, as `title (operator)`; how many there were.

    One whose integers' type cannot be inferred is left as it is.
    """
    import onnx

    if not trapping:
        return 0
    try:
        inferred = onnx.shape_inference.infer_shapes(proto)
    except (onnx.shape_inference.InferenceError, ValueError):
        return 0
    types: dict[str, int] = {}
    _learn(inferred.graph, types)
    return _Rewriting(proto, trapping, types).graph(proto.graph)


def _learn(graph: onnx.GraphProto, types: dict[str, int]) -> None:
    for value in (*graph.input, *graph.output, *graph.value_info):
        types[value.name] = value.type.tensor_type.elem_type
    for tensor in graph.initializer:
        types[tensor.name] = tensor.data_type
    for node in graph.node:
        for attribute in node.attribute:
            for subgraph in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                _learn(subgraph, types)


class _Rewriting:
    def __init__(self, proto: onnx.ModelProto, trapping: Collection[str], types: dict[str, int]) -> None:
        self._proto, self._trapping, self._types = proto, trapping, types
        self._constants: dict[tuple[int, int], str] = {}

    def graph(self, graph: onnx.GraphProto) -> int:
        """Rewrite a graph and those within; they see the constants of the outermost."""
        count, made = 0, []
        for node in graph.node:
            for attribute in node.attribute:
                for subgraph in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                    count += self.graph(subgraph)
            kind = self._types.get(node.input[0], 0) if node.input else 0
            wanted = f"{node.name or next(iter(node.output), '')} ({node.op_type})" in self._trapping
            division = node.domain in ("", "ai.onnx") and node.op_type in ("Div", "Mod")
            if division and wanted and kind in _DTYPES:
                made += self._safe(node, kind)
                count += 1
            else:
                made.append(node)
        copies = [_copied(node) for node in made]
        del graph.node[:]
        graph.node.extend(copies)
        return count

    def _safe(self, node: onnx.NodeProto, kind: int) -> list[onnx.NodeProto]:
        dividend, divisor = node.input
        (answer,) = node.output
        names = {part: f"{answer}_{part}" for part in ("by_minus_one", "divisor", "quotient", "negated")}
        guard = [
            self._node(node, "Equal", [divisor, self._constant(-1, kind)], names["by_minus_one"]),
            self._node(node, "Where", [names["by_minus_one"], self._constant(1, kind), divisor], names["divisor"]),
        ]
        divided = _copied(node)
        divided.input[:] = [dividend, names["divisor"]]
        if node.op_type == "Mod":
            return [*guard, divided]
        divided.output[:] = [names["quotient"]]
        return [
            *guard,
            divided,
            self._node(node, "Neg", [dividend], names["negated"]),
            self._node(node, "Where", [names["by_minus_one"], names["negated"], names["quotient"]], answer),
        ]

    def _node(self, like: onnx.NodeProto, operator: str, inputs: list[str], output: str) -> onnx.NodeProto:
        import onnx

        made = onnx.helper.make_node(operator, inputs, [output], name=f"{output}_{operator}")
        made.metadata_props.extend(like.metadata_props)
        return made

    def _constant(self, value: int, kind: int) -> str:
        import onnx

        if (value, kind) not in self._constants:
            taken = {tensor.name for tensor in self._proto.graph.initializer} | set(self._types)
            name = f"{'minus_one' if value < 0 else 'one'}_{_DTYPES[kind]}"
            while name in taken:
                name += "_"
            array = np.array(value, _DTYPES[kind])
            self._proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
            self._constants[value, kind] = name
        return self._constants[value, kind]


def _copied(node: onnx.NodeProto) -> onnx.NodeProto:
    copy = type(node)()
    copy.CopyFrom(node)
    return copy

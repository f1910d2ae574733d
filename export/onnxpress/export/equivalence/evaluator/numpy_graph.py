"""The exported graph computed by numpy, in float64 or float32: what it means, without any runtime.

An export is allowed the noise of float32 arithmetic, and a small fault hides in that noise. In float64 both the
framework and the graph compute the same thing to fifteen digits, so what is left between them is what the graph says
otherwise: a wrong constant, a wrong axis, a wrong weight, down to a fraction of the noise floor.

The operators are those of the reference implementation of ONNX, mended and sped up in `numpy_operators` and
`numpy_text_operators`. Nodes run one by one; initializers are widened where they are used and let go again, so a large
model is never held in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxpress.core.arrays import Array

if TYPE_CHECKING:
    import onnx

See = Callable[[int, "onnx.NodeProto", str, Any], None]
_LARGE = 4096
"""Elements; smaller initializers are decoded once and kept."""


class NotEvaluated(Exception):
    """The reference implementation lacks an operator of the graph, or fails on it."""


class NumpyGraph:
    """Feeds → outputs; every float32 of the graph is taken as `dtype`. Raises NotEvaluated where it cannot be built."""

    def __init__(self, proto: onnx.ModelProto, dtype: type[np.floating[Any]] = np.float64) -> None:
        from onnx.reference import ReferenceEvaluator

        from onnxpress.export.equivalence.evaluator import layer_operators as numpy_layer_operators
        from onnxpress.export.equivalence.evaluator import operators as numpy_operators
        from onnxpress.export.equivalence.evaluator import text_operators as numpy_text_operators
        from onnxpress.export.equivalence.evaluator import tree_operators as numpy_tree_operators

        self._dtype = dtype
        self._initializers = {value.name: value for value in proto.graph.initializer}
        self._kept: dict[str, Array] = {}
        skeleton = _without_initializers(proto)
        if dtype is np.float64:
            for graph in (skeleton.graph, *skeleton.functions):
                _widen_nodes(graph.node)
        self._captured = _captured(skeleton.graph)
        try:
            of_ours = (numpy_operators, numpy_layer_operators, numpy_text_operators, numpy_tree_operators)
            self._evaluator = ReferenceEvaluator(
                skeleton, new_ops=[one for module in of_ours for one in module.OPERATORS]
            )
        except Exception as error:
            raise NotEvaluated(reason(error)) from error
        self._nodes = proto.graph.node
        self._outputs = [value.name for value in proto.graph.output]
        self._last = _last_uses(skeleton.graph, self._outputs)

    def run(self, feeds: Mapping[str, Array], see: See | None = None) -> dict[str, Array]:
        """Output name → array; floats in `dtype`, unless the graph says float16 or float64. Raises NotEvaluated.

        `see` is shown every tensor once it is computed: the node's place, the node, the tensor's name and value.
        """
        results: dict[str, Any] = {"": None} | {name: self._wide(value) for name, value in feeds.items()}
        for place, node in enumerate(self._evaluator.rt_nodes_):
            # What a look-up takes out of a large table is widened, not the table.
            whole = node.op_type == "Gather"
            inputs = [self._value(name, results, as_it_is=whole) for name in node.input]
            context = {}
            if node.need_context():
                captured = {name: self._value(name, results) for name in self._captured if self._known(name, results)}
                context = {"context": captured}
            try:
                with np.errstate(all="ignore"):
                    answers = node.run(*inputs, **context)
            except Exception as error:
                raise NotEvaluated(f"{node.op_type}: {reason(error)}") from error
            made = {name: self._wide(value) for name, value in zip(node.output, answers, strict=False)}
            results |= made
            for name, value in made.items() if see is not None else ():
                see(place, self._nodes[place], name, value)  # type: ignore[misc]
            for name in self._last.get(place, ()):
                results.pop(name, None)
        return {name: np.asarray(self._value(name, results)) for name in self._outputs}

    def _known(self, name: str, results: Mapping[str, Any]) -> bool:
        return name in results or name in self._initializers

    def _value(self, name: str, results: Mapping[str, Any], *, as_it_is: bool = False) -> Any:
        if name in results:
            return results[name]
        if name in self._kept:
            return self._kept[name]
        from onnx import numpy_helper

        if name not in self._initializers:
            raise NotEvaluated(f"nothing produces {name!r}")
        value = numpy_helper.to_array(self._initializers[name])
        if as_it_is and value.size > _LARGE:
            return value
        value = self._wide(value)
        if value.size <= _LARGE:
            self._kept[name] = value
        return value

    def _wide(self, value: Any) -> Any:
        if isinstance(value, list):  # a sequence
            return [self._wide(part) for part in value]
        if isinstance(value, np.ndarray | np.generic) and value.dtype == np.float32:
            return value.astype(self._dtype, copy=False)
        return value


def reason(error: Exception) -> str:
    """An exception in one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def _without_initializers(proto: onnx.ModelProto) -> onnx.ModelProto:
    """A copy without the weights of the main graph, which may be most of the memory there is."""
    import onnx

    skeleton = onnx.ModelProto(ir_version=proto.ir_version)
    skeleton.opset_import.extend(proto.opset_import)
    skeleton.functions.extend(proto.functions)
    skeleton.graph.name = "numpy"
    skeleton.graph.node.extend(proto.graph.node)
    for values, own in ((proto.graph.input, skeleton.graph.input), (proto.graph.output, skeleton.graph.output)):
        own.extend(onnx.ValueInfoProto(name=value.name) for value in values)
    return skeleton


def _widen_nodes(nodes: Any) -> None:
    """Casts to float32 and float32 constants become float64, in subgraphs too; casts to narrower types stay."""
    import onnx
    from onnx import TensorProto, numpy_helper

    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("t") and attribute.t.data_type == TensorProto.FLOAT:
                attribute.t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(attribute.t).astype(np.float64)))
            if attribute.name in ("to", "dtype") and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.DOUBLE
            for graph in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                for value in graph.initializer:
                    if value.data_type == TensorProto.FLOAT:
                        wide = numpy_helper.from_array(numpy_helper.to_array(value).astype(np.float64), value.name)
                        value.CopyFrom(wide)
                _widen_nodes(graph.node)
        if node.op_type == "Constant" and any(a.name in ("value_float", "value_floats") for a in node.attribute):
            value = np.float64(node.attribute[0].f) if node.attribute[0].name == "value_float" else None
            array = np.asarray(value if value is not None else list(node.attribute[0].floats), np.float64)
            del node.attribute[:]
            node.attribute.append(onnx.helper.make_attribute("value", numpy_helper.from_array(array)))


def _subgraph_names(node: onnx.NodeProto) -> Iterator[str]:
    for attribute in node.attribute:
        for graph in [attribute.g] if attribute.HasField("g") else attribute.graphs:
            for inner in graph.node:
                yield from inner.input
                yield from _subgraph_names(inner)
            yield from (value.name for value in graph.output)


def _captured(graph: onnx.GraphProto) -> set[str]:
    return {name for node in graph.node for name in _subgraph_names(node)}


def _last_uses(graph: onnx.GraphProto, outputs: list[str]) -> dict[int, list[str]]:
    """Node number → the tensors that nothing needs after it."""
    last: dict[str, int] = {}
    for place, node in enumerate(graph.node):
        for name in (*node.input, *node.output, *_subgraph_names(node)):
            last[name] = place
    for name in ("", *outputs):
        last.pop(name, None)
    freed: dict[int, list[str]] = {}
    for name, place in last.items():
        freed.setdefault(place, []).append(name)
    return freed

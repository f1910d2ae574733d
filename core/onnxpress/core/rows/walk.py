"""Following the rows through a graph, node by node, function by function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnxpress.core.onnx_graph import Attribute, Function, Graph, Model, Node
from onnxpress.core.rows.call import IMPURE, RULES, Call, Dependence, Symbols
from onnxpress.core.rows.constants import constant
from onnxpress.core.rows.scope import NOWHERE, Scope
from onnxpress.core.rows.sizes import TooLarge
from onnxpress.core.rows.values import FREE, Taint, Value

_DEEPEST = 60
"""functions within functions"""
_MOST_NODES = 50_000
"""visited: functions that call functions, and loops, may visit a node many times"""

MALFORMED = "its inputs and attributes do not fit each other"
_MALFORMED = (IndexError, KeyError, TypeError, ValueError)
"""what a rule trips over where a node has fewer axes, elements or outputs than its operator asks for"""
_OWN = frozenset({"", "ai.onnx.ml", "com.microsoft"})


class Walk:
    """One pass over a model."""

    def __init__(self, model: Model, symbols: Symbols) -> None:
        self._functions, self.symbols = model.functions, symbols
        self._opsets: Mapping[str, int] = model.opsets
        self._visited = 0
        self._depth = 0

    def graph(self, graph: Graph, scope: Scope, bound: Mapping[str, Attribute] | None = None) -> list[Value]:
        """The graph's outputs, given a scope that holds its inputs."""
        for tensor in graph.initializers:
            scope[tensor.name] = constant(tensor)
        for parts in graph.sparse:
            if parts:
                scope[parts[0].name] = FREE
        self._nodes(graph.nodes, scope, bound)
        return [self._output(output.name, scope) for output in graph.outputs]

    def within(
        self, graph: Graph, outer: Scope, inputs: Sequence[Value], bound: Mapping[str, Attribute] | None
    ) -> list[Value]:
        """The outputs of a graph in a node's attribute, which sees the values around it; inputs in its order."""
        scope = Scope(outer)
        for declared, value in zip(graph.inputs, inputs, strict=False):
            scope[declared.name] = value
        return self.graph(graph, scope, bound)

    def _output(self, name: str, scope: Scope) -> Value:
        return scope.get(name) or NOWHERE

    def _nodes(self, nodes: Sequence[Node], scope: Scope, bound: Mapping[str, Attribute] | None) -> None:
        for node in nodes:
            answers = self._node(node, scope, bound)
            for number, name in enumerate(node.outputs):
                if name:
                    scope[name] = answers[number] if number < len(answers) else _more(answers, node)

    def _node(self, node: Node, scope: Scope, bound: Mapping[str, Attribute] | None) -> Sequence[Value]:
        self._visited += 1
        if self._visited > _MOST_NODES:
            return [Value(taint=Taint(node.title, node.operator, "the graph is too large to be followed", False))]
        inputs = [scope.get(name) if name else None for name in node.inputs]
        function = self._functions.get((node.domain, node.operator, node.overload)) if self._functions else None
        followed = RULES.get((node.domain, node.operator))
        if function is not None:
            if node.domain in _OWN:
                taint = Taint(node.title, node.operator, "a function has the name of a standard operator", False)
                return [Value(taint=taint)]
            return self._inline(function, node, inputs, bound)
        call = Call(node, inputs, self._opsets.get(node.domain, 1), scope, self, bound)
        # Whatever a deterministic operator computes from what is the same for every batch, is so too.
        free = followed is not None and followed not in IMPURE and all(value is None or value.free for value in inputs)
        try:
            if followed is None:
                raise call.refused("the operator is not known")
            answer = followed(call)
        except Dependence as dependence:
            taint = dependence.taint
        except TooLarge:
            taint = Taint(node.title, node.operator, "a size is not followed", False)
        except _MALFORMED:
            taint = Taint(node.title, node.operator, MALFORMED, False)
        else:
            answers = [answer] if isinstance(answer, Value) else list(answer)
            return answers + [FREE] * (len(node.outputs) - len(answers)) if free else answers
        return [FREE if free else Value(taint=taint)] * len(node.outputs)

    def _inline(
        self, function: Function, node: Node, inputs: Sequence[Value | None], bound: Mapping[str, Attribute] | None
    ) -> Sequence[Value]:
        if self._depth >= _DEEPEST:
            return [Value(taint=Taint(node.title, node.operator, "functions are nested too deep", False))]
        scope = Scope()
        for number, name in enumerate(function.inputs):
            scope[name] = inputs[number] if number < len(inputs) else None
        attributes = {attribute.name: attribute for attribute in function.defaults.values()}
        for attribute in node.attributes.values():
            reference = attribute.reference if bound is not None else ""
            if not reference:
                attributes[attribute.name] = attribute
            elif bound is not None and reference in bound:
                attributes[attribute.name] = bound[reference]
        outside, self._opsets = self._opsets, {**self._opsets, **function.opsets}
        self._depth += 1
        try:
            self._nodes(function.nodes, scope, attributes)
        finally:
            self._depth -= 1
            self._opsets = outside
        return [self._output(name, scope) for name in function.outputs]


def _more(answers: Sequence[Value], node: Node) -> Value:
    """An output that the rule says nothing of: what taints the others taints it."""
    for answer in answers:
        if answer.taint is not None:
            return answer
    return Value(taint=Taint(node.title, node.operator, "this output is not followed", False))

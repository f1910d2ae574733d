"""What a model's graph does that the shapes of its inputs do not tell: costs that follow values, and values that trap.

A run is taken for short, and stays on the event loop's thread, when one of the same shapes was short before. That holds
only where the cost follows the shapes. A loop's number of turns, a branch, or a tensor as long as an input's value says
can make the next run of the same shapes endless.

On x86 and in C the smallest integer divided by -1 has no answer: the process dies of it. ONNX Runtime does not look.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from onnxpress.core.errors import BadModel
from onnxpress.core.onnx_graph import Function, Graph, Model, Node, Tensor, open_model
from onnxpress.serving.engine import divisors
from onnxpress.serving.engine.divisors import Value, constant_never

_SIZED_BY: dict[str, tuple[int, ...]] = {
    "CenterCropPad": (1,), "Col2Im": (1, 2), "ConstantOfShape": (0,), "DFT": (1,), "Expand": (1,), "MaxUnpool": (2,),
    "MelWeightMatrix": (0, 1), "NonMaxSuppression": (0, 1, 2), "OneHot": (1,), "Pad": (1,), "Range": (0, 1, 2),
    "Resize": (1, 2, 3), "STFT": (1, 3), "Tile": (1,), "Upsample": (1,), "BlackmanWindow": (0,), "HammingWindow": (0,),
    "HannWindow": (0,), "AffineGrid": (1,), "RegexFullMatch": (0,), "StringSplit": (0,),
}  # fmt: skip
"""standard operators whose work or output is as large as the values of these inputs say"""
_SHAPES_ALONE = frozenset({"Shape", "Size", "ConstantOfShape", "EyeLike", "RandomNormalLike", "RandomUniformLike"})
"""operators whose output is the same for all values of inputs of the same shape, once its size is settled"""
_SAME_TYPE = frozenset({
    "Identity", "Add", "Sub", "Mul", "Div", "Mod", "Neg", "Abs", "Sign", "Max", "Min", "Sum", "Clip", "Gather", "Pad",
    "GatherND", "GatherElements", "Reshape", "Squeeze", "Unsqueeze", "Slice", "Concat", "Transpose", "Flatten", "Tile",
    "Expand", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "CumSum", "Split",
})  # fmt: skip
"""operators whose outputs have the type of their first input"""
_WITH_GRAPHS = frozenset({"If", "Loop", "Scan", "SequenceMap"})
_INT32, _INT64 = 6, 7
_INTEGERS = frozenset({_INT32, _INT64})
_MOST_NODES, _DEEPEST = 1 << 18, 40
"""functions that call functions can make an endless graph of a short file"""


class Findings(msgspec.Struct, frozen=True):
    """What was found in a graph: titles of nodes with their operators."""

    unmeasured: tuple[str, ...] = ()
    """whose cost does not follow the shapes of the inputs"""
    trapping: tuple[str, ...] = ()
    """integer divisions that a caller can make the smallest integer by -1"""


def findings(model: Model | Path | bytes) -> Findings:
    """Of a model that was read, a file or a serialized one. One that cannot be read counts as unmeasured, no more."""
    try:
        if isinstance(model, Model):
            return _Walk(model).findings()
        if isinstance(model, bytes):
            return _Walk(Model(model)).findings()
        with open_model(model) as opened:
            return _Walk(opened).findings()
    except (BadModel, RecursionError) as error:
        return Findings(unmeasured=(f"a graph that cannot be followed: {error}",))


_ABSENT = Value(free=True)


def _title(node: Node) -> str:
    return f"{node.title} ({node.operator})"


def _constant(tensor: Tensor) -> Value:
    # Looking at every weight would take as long as reading it: only integers divide.
    return Value(
        free=True, type=tensor.type, constant=tensor, never=tensor.type in _INTEGERS and constant_never(tensor)
    )


class _Walk:
    """Through one model's nodes, in order."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._unmeasured: dict[str, None] = {}
        self._trapping: dict[str, None] = {}
        self._scope: dict[str, Value] = {}
        self._visited = self._depth = self._keys = 0

    def findings(self) -> Findings:
        """After the walk."""
        graph = self._model.graph
        self._given(graph)
        self._constants(graph)
        for node in graph.nodes:
            self._node(node)
        return Findings(tuple(self._unmeasured), tuple(self._trapping))

    def _given(self, graph: Graph) -> None:
        for given in graph.inputs:
            self._keys += 1
            self._scope[given.name] = Value(free=False, type=given.type, key=self._keys)

    def _constants(self, graph: Graph) -> None:
        for tensor in graph.initializers:
            known = self._scope.get(tensor.name)
            # One that is an input too may be given by the caller.
            self._scope[tensor.name] = known or _constant(tensor)
        for values, *_ in graph.sparse:
            self._scope[values.name] = Value(free=True, type=values.type)

    def _node(self, node: Node) -> None:
        self._visited += 1
        if self._visited > _MOST_NODES:
            raise BadModel("it has too many nodes")
        inputs = [self._scope.get(name, Value(free=False)) if name else _ABSENT for name in node.inputs]
        free = True
        for value in inputs:
            free = free and value.free
        if self._model.functions:
            function = self._model.functions.get((node.domain, node.operator, node.overload))
            if function is not None:
                self._inline(function, node, inputs)
                return
        if node.domain:
            # A search by beams, say. Looking through a forest's attributes, which are never graphs, would take seconds.
            if node.domain != "ai.onnx.ml" and any(
                True for attribute in node.attributes.values() for _ in attribute.graphs()
            ):
                self._unmeasured[_title(node)] = None
                self._graphs_of(node)
        elif node.operator in _WITH_GRAPHS:
            self._unmeasured[_title(node)] = None
            self._graphs_of(node)
        elif node.operator in _SIZED_BY:
            if any(not inputs[at].free for at in _SIZED_BY[node.operator] if at < len(inputs)):
                self._unmeasured[_title(node)] = None
        elif node.operator in ("Div", "Mod"):
            self._division(node, inputs)
        answer = self._answer(node, inputs, free)
        asked, never = None, answer.never
        if not node.domain and node.operator != "Constant":
            asked, never = divisors.asked(node, inputs), never or divisors.never(node, inputs)
        for name in node.outputs:
            if name:
                self._keys += 1
                self._scope[name] = Value(
                    answer.free, answer.type, answer.constant, answer.listed, never, asked, self._keys
                )

    def _answer(self, node: Node, inputs: Sequence[Value], free: bool) -> Value:
        if node.domain:
            return Value(free)
        operator = node.operator
        if operator == "Constant":
            value = node.attributes.get("value")
            tensor = None if value is None else value.tensor()
            one = next(iter(node.attributes.values()), None)
            if tensor is None and one is not None and one.name in ("value_int", "value_ints"):
                whole = one.integer()
                listed = tuple(one.ints()) if one.name == "value_ints" else () if whole is None else (whole,)
                return Value(free=True, type=_INT64, listed=listed, never=-1 not in listed)
            return Value(free=True) if tensor is None else _constant(tensor)
        if operator in ("Shape", "Size"):
            return Value(free=True, type=_INT64)
        if operator in _SHAPES_ALONE:
            return Value(free=True)
        if operator == "Cast":
            to = node.attributes.get("to")
            return Value(free, 0 if to is None else to.integer() or 0)
        if operator in ("Range", *_SAME_TYPE) and inputs:
            return Value(free, inputs[0].type)
        if operator == "Where" and len(inputs) > 1:
            return Value(free, inputs[1].type)
        return Value(free)

    def _division(self, node: Node, inputs: Sequence[Value]) -> None:
        if len(inputs) != 2 or _INTEGERS.isdisjoint({value.type for value in inputs}):
            return
        dividend, divisor = inputs
        remainder = node.attributes.get("fmod")
        if dividend.free or (remainder is not None and remainder.integer()):
            return
        # Sizes, and what is computed of them, are free and no caller's choice.
        fixed = divisor.constant is not None or divisor.listed is not None
        if not divisor.never and (fixed or not divisor.free):
            self._trapping[_title(node)] = None

    def _inline(self, function: Function, node: Node, inputs: Sequence[Value]) -> None:
        """The function's nodes in the place of the one that calls it."""
        outside = self._scope
        if self._depth == _DEEPEST:
            raise BadModel("its functions are nested too deep")
        self._scope = {name: inputs[at] if at < len(inputs) else _ABSENT for at, name in enumerate(function.inputs)}
        self._depth += 1
        for inner in function.nodes:
            self._node(inner)
        self._depth -= 1
        found = [self._scope.get(name, Value(free=False)) for name in function.outputs]
        self._scope = outside
        for name, value in zip(node.outputs, found, strict=False):
            if name:
                outside[name] = value

    def _graphs_of(self, node: Node) -> None:
        """Look into a node's graphs, which see the values around them."""
        outside = dict(self._scope)
        for attribute in node.attributes.values():
            for graph in attribute.graphs():
                self._given(graph)
                self._constants(graph)
                for inner in graph.nodes:
                    self._node(inner)
                self._scope = dict(outside)

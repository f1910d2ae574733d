"""At which values of a number the graph turns: the constants that it compares, clips or divides it with.

An example rarely reaches them. An original that turns at 4000 and an export that turns at 5000 then say the same. The
way from the input to the comparison is walked back: behind `(x - 3) / 2 > 7` the input turns at 17.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from onnxpress.core.arrays import Array

if TYPE_CHECKING:
    import onnx

COMPARES = frozenset({"Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal"})
_BOUNDS = COMPARES | {"Clip", "Max", "Min", "Mod", "Relu", "Abs", "Sign"}
"""operators that turn at a constant, or at 0"""
_AT_ZERO = frozenset({"Relu", "Abs", "Sign"})
_RESHAPES = frozenset({"Cast", "Identity", "Reshape", "Unsqueeze", "Squeeze", "Flatten", "Expand", "Transpose"})
_TAKES = frozenset({"Gather", "GatherND", "GatherElements", "Slice", "Tile"})
"""operators whose output holds some of a constant's numbers: a search through sorted bounds compares with one"""
_SIZES = {
    "Range": (0, 1, 2), "Expand": (1,), "Tile": (1,), "ConstantOfShape": (0,), "Reshape": (1,), "Resize": (1, 2, 3),
    "Pad": (1,), "Split": (1,), "OneHot": (1,), "RandomNormal": (), "CenterCropPad": (1,), "Upsample": (1,),
    "BlackmanWindow": (0,), "HannWindow": (0,), "HammingWindow": (0,), "EyeLike": (), "Col2Im": (1, 2), "TopK": (1,),
    "Loop": (0, 1, 2, 3, 4, 5, 6, 7), "Scan": (), "STFT": (1, 3), "DFT": (1,), "MelWeightMatrix": (0, 1, 2, 3, 4),
}  # fmt: skip
"""operator → the inputs that say how much of something there is"""
_MOST_WAYS = 4
"""from one input to one tensor"""
_MOST_CONSTANT = 4096
_MOST_TURNS = 96
"""values of one input; of more, evenly chosen ones are kept"""
_LARGEST = 2.0**53

Way = Callable[[Array], Array]
"""From a value behind some operators back to the input's value there."""


@dataclass(frozen=True)
class Turn:
    """One place where the graph turns."""

    output: str
    """the node's first"""
    place: int
    """of the bound among its inputs; -1 where that is 0 by itself"""
    constant: str
    """that holds the bound"""
    of: str
    """the input whose number is held against it"""
    values: Array
    """of the input, float64: those at which the graph turns here; empty where the constant is no bound of any"""


@dataclass(frozen=True)
class Turns:
    """What a graph shows of the numbers among its inputs."""

    found: Sequence[Turn]
    counts: frozenset[str]
    """inputs that say how much there is of something: a large one would fill the memory"""

    def of(self, name: str) -> Array:
        """The values of the input at which the graph turns: float64, sorted."""
        every = [turn.values for turn in self.found if turn.of == name]
        values = np.unique(np.concatenate(every)) if every else np.zeros(0)
        return values[:: max(1, -(-len(values) // _MOST_TURNS))]


def turns(graph: onnx.ModelProto, inputs: Sequence[str]) -> Turns:
    """Where the graph turns, for each of these inputs; nodes of subgraphs are not looked at."""
    walk = _Walk(graph, inputs)
    found = [turn for node in graph.graph.node for turn in walk.follow(node)]
    return Turns(found, frozenset(walk.counts))


class _Walk:
    """Through a graph's nodes in order: which tensors hold which input's numbers, and the way back from each."""

    def __init__(self, graph: onnx.ModelProto, inputs: Sequence[str]) -> None:
        from onnx import numpy_helper

        self._ways: dict[str, dict[str, list[Way]]] = {name: {name: [_same]} for name in inputs}
        self._constants: dict[str, Array] = {}
        self._origins: dict[str, str] = {}
        """tensor → the constant whose numbers it holds"""
        self._reach: dict[str, set[str]] = {name: {name} for name in inputs}
        """tensor → the inputs whose numbers it depends on in any way"""
        self._numpy = numpy_helper.to_array
        self.counts: set[str] = set()
        for value in graph.graph.initializer:
            self._learn(value.name, value)

    def follow(self, node: onnx.NodeProto) -> Iterator[Turn]:
        """Learn what the node's outputs hold; tell where it turns."""
        for attribute in node.attribute:
            if attribute.name == "value" and attribute.HasField("t"):
                self._learn(node.output[0], attribute.t)
            elif attribute.name in ("value_float", "value_int"):
                number = attribute.f if attribute.name == "value_float" else attribute.i
                self._constants[node.output[0]] = np.array([number], np.float64)
        if node.op_type in _RESHAPES | _TAKES and node.input[0] in self._constants:
            self._constants[node.output[0]] = self._constants[node.input[0]]
            self._origins[node.output[0]] = self._origins.get(node.input[0], node.input[0])
        self._reached(node)
        if node.op_type in _BOUNDS:
            yield from self._turns(node)
        ways = {} if node.op_type in COMPARES else self._behind(node)
        for output in node.output if ways else ():
            self._ways[output] = ways

    def _learn(self, name: str, value: onnx.TensorProto) -> None:
        if int(np.prod(value.dims)) <= _MOST_CONSTANT and not value.external_data:
            array = self._numpy(value)
            if array.dtype.kind in "fiu":
                self._constants[name] = array.astype(np.float64).ravel()

    def _reached(self, node: onnx.NodeProto) -> None:
        if node.op_type in ("Shape", "Size"):
            return
        names = [*node.input, *(name for attribute in node.attribute for name in _captured(attribute))]
        every = set[str]().union(*(self._reach.get(name, ()) for name in names))
        for place in _SIZES.get(node.op_type, ()):
            if place < len(node.input):
                self.counts |= self._reach.get(node.input[place], set())
        if node.op_type == "Loop":
            self.counts |= every
        for output in node.output if every else ():
            self._reach[output] = every

    def _turns(self, node: onnx.NodeProto) -> Iterator[Turn]:
        for place, name in enumerate(node.input):
            for source, ways in self._ways.get(name, {}).items():
                if node.op_type in _AT_ZERO:
                    yield Turn(node.output[0], -1, "", source, _back(ways, np.zeros(1)))
                for other, bound in enumerate(node.input):
                    if other != place and bound in self._constants:
                        at = self._constants[bound]
                        if node.op_type == "Mod":
                            at = np.concatenate([-at, 0 * at, at, 2 * at])
                        origin = self._origins.get(bound, bound)
                        yield Turn(node.output[0], other, origin, source, _back(ways, at))

    def _behind(self, node: onnx.NodeProto) -> dict[str, list[Way]]:
        """The ways from what the node's output holds; where an operator is not known, its output is taken as it is."""
        found: dict[str, list[Way]] = {}
        for place, name in enumerate(node.input):
            for source, ways in self._ways.get(name, {}).items():
                step = self._step(node, place)
                longer = [_joined(way, step) for way in ways] if step is not None else ways
                found[source] = [*found.get(source, []), *longer][:_MOST_WAYS]
        return found

    def _step(self, node: onnx.NodeProto, place: int) -> Way | None:
        """Back through one node; None where that is not known, or leaves the numbers as they are."""
        kind = node.op_type
        if kind in _BACK:
            return _BACK[kind]
        if (kind, place) not in _ARITHMETIC or len(node.input) != 2:
            return None
        function, other = _ARITHMETIC[kind, place], self._constants.get(node.input[1 - place])
        return None if other is None else lambda value: _each(value, other, function)


def _same(value: Array) -> Array:
    return value


_BACK: Mapping[str, Way] = {
    "Neg": np.negative, "Log": np.exp, "Exp": np.log, "Sqrt": np.square, "Reciprocal": np.reciprocal,
}  # fmt: skip


_ARITHMETIC: Mapping[tuple[str, int], Callable[[Array, Array], Array]] = {
    ("Add", 0): np.subtract,
    ("Add", 1): np.subtract,
    ("Sub", 0): np.add,
    ("Sub", 1): lambda value, constant: constant - value,
    ("Mul", 0): np.divide,
    ("Mul", 1): np.divide,
    ("Div", 0): np.multiply,
    ("Div", 1): lambda value, constant: constant / value,
    ("Pow", 0): lambda value, constant: value ** (1 / constant),
}
"""operator and the place of the number among its inputs → the number, of the result and the constant"""


def _joined(way: Way, step: Way) -> Way:
    return lambda value: way(step(value))


def _each(values: Array, constants: Array, function: Callable[[Array, Array], Array]) -> Array:
    """Every value with every constant: which belongs to which is not known. Of many constants some are taken."""
    some = constants[:: max(1, -(-constants.size // _MOST_TURNS))]
    return function(values[:, None], some[None, :]).ravel()[: _MOST_TURNS * _MOST_TURNS]


def _back(ways: Sequence[Way], at: Array) -> Array:
    """The input's values there, those that no number of an input can be left out."""
    with np.errstate(all="ignore"):
        values = np.concatenate([np.asarray(way(at)).ravel() for way in ways])
    return np.unique(values[np.isfinite(values) & (np.abs(values) < _LARGEST)])


def _captured(attribute: onnx.AttributeProto) -> Iterator[str]:
    """The names that the nodes of an attribute's graphs take, those of outer tensors among them."""
    graphs = [attribute.g] if attribute.HasField("g") else attribute.graphs
    for graph in graphs:
        for node in graph.node:
            yield from node.input
            for inner in node.attribute:
                yield from islice(_captured(inner), 10_000)
        yield from (value.name for value in graph.output)

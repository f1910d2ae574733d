"""One node as its rule sees it: what is known of its inputs, its attributes, and the ways to say no."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from onnxpress.core.rows.sizes import Polynomial, Size, has, symbol
from onnxpress.core.rows.values import Element, Rows, Shape, Taint, Value

if TYPE_CHECKING:
    from onnxpress.core.onnx_graph import Attribute, Graph, Node, Tensor
    from onnxpress.core.rows.scope import Scope

ML, MS = "ai.onnx.ml", "com.microsoft"

Answer = Value | Sequence[Value]
Rule = Callable[["Call"], Answer]

RULES: dict[tuple[str, str], Rule] = {}
"""domain and operator → its rule"""

NUMBERED = "the number of the row is part of its value"
COUNTED = "the number of rows is part of the value"


IMPURE: set[Rule] = set()
"""the rules of operators whose answers are not a function of their inputs alone"""


def rule(*operators: str, domain: str = "", pure: bool = True) -> Callable[[Rule], Rule]:
    """The decorated function is the rule of these operators."""

    def add(function: Rule) -> Rule:
        if not pure:
            IMPURE.add(function)
        for operator in operators:
            RULES[domain, operator] = function
        return function

    return add


class Dependence(Exception):
    """The node's outputs cannot be told row by row."""

    def __init__(self, taint: Taint) -> None:
        super().__init__(taint.reason)
        self.taint = taint


class Symbols:
    """Names for sizes of which nothing is known but that they are the same for every batch."""

    def __init__(self, batch: str) -> None:
        self.batch = batch
        self.rows = symbol(batch)
        self._made: dict[str, int] = {}
        self._known: dict[tuple[object, ...], Polynomial] = {}
        self._most: dict[Size, tuple[Size, ...]] = {}

    def fresh(self) -> Polynomial:
        """A size like no other."""
        name = f"?{len(self._made)}"
        self._made[name] = len(self._made)
        return symbol(name)

    def of(self, *what: object) -> Polynomial:
        """The size that this computation gives: the same for the same operands."""
        if what not in self._known:
            self._known[what] = self.fresh()
        return self._known[what]

    def at_most(self, size: Size, others: tuple[Size, ...]) -> None:
        """Remember that the size is never larger than one of the others."""
        self._most[size] = others

    def larger(self, one: Size, other: Size) -> Size | None:
        """The one of the two that is never smaller; None where it is not known."""
        if other in self._most.get(one, ()):
            return other
        return one if one in self._most.get(other, ()) else None

    @property
    def count(self) -> int:
        """How many were made so far."""
        return len(self._made)

    def since(self, size: Size, count: int) -> bool:
        """Whether one of those made after the first `count` occurs in the size."""
        return not isinstance(size, int) and any(self._made.get(name, -1) >= count for name in size.symbols)


class Follower(Protocol):
    """Whoever follows the graph that the node is in."""

    symbols: Symbols

    def within(
        self, graph: Graph, outer: Scope, inputs: Sequence[Value], bound: Mapping[str, Attribute] | None
    ) -> list[Value]:
        """The outputs of a graph in a node's attribute."""


class Call:
    """One node to be followed. Methods raise Dependence where what they are asked for cannot be had."""

    __slots__ = ("bound", "inputs", "node", "scope", "symbols", "version", "walk")

    def __init__(
        self,
        node: Node,
        inputs: Sequence[Value | None],
        version: int,
        scope: Scope,
        walk: Follower,
        bound: Mapping[str, Attribute] | None,
    ) -> None:
        self.node, self.inputs, self.version, self.scope, self.walk, self.bound = (
            node, inputs, version, scope, walk, bound,
        )  # fmt: skip
        self.symbols = walk.symbols

    # --- saying no

    def refused(self, reason: str, *, definite: bool = False) -> Dependence:
        """To be raised; `definite` where the operator surely combines rows."""
        return Dependence(Taint(self.node.title, self.node.operator, reason, definite))

    def mixed(self, what: str = "rows") -> Dependence:
        """To be raised: the operator combines the rows of the batch."""
        return self.refused(f"{self.node.operator} combines {what}", definite=True)

    def untold(self, reason: str) -> Value:
        """An output that is not followed, beside others that are."""
        return Value(taint=self.refused(reason).taint)

    # --- attributes

    def attribute(self, name: str) -> Attribute | None:
        """None where it is not set; within a function, what the calling node says."""
        found = self.node.attributes.get(name)
        if found is not None and self.bound is not None and found.reference:
            return self.bound.get(found.reference)
        return found

    def integer(self, name: str, default: int) -> int:
        """An integer attribute."""
        found = self.attribute(name)
        value = None if found is None else found.integer()
        return default if value is None else value

    def string(self, name: str, default: str) -> str:
        """A text attribute."""
        found = self.attribute(name)
        value = None if found is None else found.string()
        return default if value is None else value

    def ints(self, name: str) -> tuple[int, ...] | None:
        """A list of integers, None where it is not set."""
        found = self.attribute(name)
        return None if found is None else found.ints()

    def tensor(self, name: str) -> Tensor | None:
        """A tensor attribute, None where it is not set."""
        found = self.attribute(name)
        return None if found is None else found.tensor()

    # --- inputs

    def given(self, number: int) -> bool:
        """Whether the input is there."""
        return number < len(self.inputs) and self.inputs[number] is not None

    def value(self, number: int) -> Value:
        """The input, whatever it is."""
        value = self.inputs[number] if number < len(self.inputs) else None
        if value is None:
            raise self.refused("an input is missing")
        return value

    def data(self, number: int) -> Value:
        """An input whose values are used: rows, or the same for every batch."""
        value = self.value(number)
        if value.taint is not None:
            raise Dependence(value.taint)
        if value.numbers is not None:
            raise self.refused(NUMBERED)
        if value.ragged is not None:
            raise self.refused("rows are padded to the longest of the batch", definite=True)
        return value

    def indices(self, number: int) -> Value:
        """An input that says which values are taken, as data. Counting rows may be how each finds its own."""
        value = self.value(number)
        if value.taint is not None:
            raise self.refused("its indices are computed in a way that is not followed")
        return self.data(number)

    def everything(self) -> list[Value]:
        """Every input that is there, as data."""
        return [self.data(number) for number in range(len(self.inputs)) if self.inputs[number] is not None]

    def same(self, number: int, what: str) -> Value:
        """An input that has to be the same for every batch."""
        value = self.value(number)
        if value.taint is not None:
            raise Dependence(value.taint)
        if value.rows is not None:
            raise self.refused(f"{what} differs from row to row")
        return value

    def elements(self, number: int, what: str) -> tuple[Element, ...] | None:
        """The elements of a parameter, which may count the rows; None where it is the same but unknown."""
        value = self.value(number)
        if value.elements is not None:
            return value.elements
        if value.taint is not None or value.rows is not None:
            raise self.refused(f"{what} is computed from the rows in a way that is not followed")
        return None

    def constants(self, number: int, what: str) -> tuple[int, ...]:
        """The elements of a parameter, all known whole numbers."""
        found = self.elements(number, what)
        if found is None or not all(isinstance(element, int) for element in found):
            raise self.refused(f"{what} is not a constant")
        return tuple(element for element in found if isinstance(element, int))

    def shape(self, value: Value) -> Shape:
        """The shape, which has to be of known rank."""
        if value.shape is None:
            raise self.refused("an input's rank is not known")
        return value.shape

    def rank(self, value: Value) -> int:
        """The number of axes."""
        return len(self.shape(value))

    def axis(self, axis: int, rank: int) -> int:
        """The axis counted from the front."""
        if not -rank <= axis < max(rank, 1):
            raise self.refused(f"there is no axis {axis}")
        return axis % rank if rank else 0

    def depends(self, size: Size) -> bool:
        """Whether the number of rows occurs in the size."""
        return has(size, self.symbols.batch)

    def counts(self, element: Element) -> bool:
        """Whether the number of rows occurs in the element."""
        return isinstance(element, Polynomial) and has(element, self.symbols.batch)

    def fresh(self) -> Polynomial:
        """A size of which nothing is known but that it is the same for every batch."""
        return self.symbols.fresh()

    def sized(self, elements: tuple[Element, ...], shape: Shape) -> Value:
        """A small tensor of known elements, tainted where one of them counts the rows."""
        for element in elements:
            if isinstance(element, Polynomial) and self.depends(element):
                taint = Taint(self.node.title, self.node.operator, COUNTED, True)
                return Value(shape, None, taint, elements)
        return Value(shape, None, None, elements)

    def rowwise(self, value: Value, axes: Sequence[int], shape: Shape | None = None) -> Value:
        """What an operator gives that combines values along `axes` only, and leaves the shape or changes it so.

        The rows stay at their axis, counted from the front.
        """
        if value.rows is not None and value.rows.axis in axes:
            raise self.mixed()
        return Value(value.shape if shape is None else shape, value.rows)

    def only_axis(self, value: Value, axis: int, what: str = "an input") -> Rows | None:
        """The rows of a value that must have them at `axis`, or be the same for every batch."""
        if value.rows is not None and value.rows.axis != axis:
            raise self.mixed(f"values along axis {value.rows.axis} of {what}, where the rows are")
        return value.rows

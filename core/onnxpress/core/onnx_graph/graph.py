"""NodeProto, AttributeProto and GraphProto: what a graph computes, from what, and with which settings."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgspec

from onnxpress.core.onnx_graph.tensor import Tensor
from onnxpress.core.onnx_graph.wire import Buffer, damaged, fields, packed_floats, packed_ints, signed, text

DEEPEST = 40
"""graphs within graphs; protobuf's own limit of 100 messages within messages ends at 33"""

Size = int | str | None
"""of one axis: a number, a name, or None where the file says nothing"""
_KINDS = {10: "tensor", 34: "sequence", 42: "map", 74: "optional", 66: "sparse tensor", 58: "opaque"}


class ValueInfo(msgspec.Struct, frozen=True):
    """The declared type of an input, output or other value.

    `kind` is "tensor", "sequence" and so on, or "" where none is declared; `type` is an onnx.TensorProto.DataType. The
    shape is None where the rank is open.
    """

    name: str
    kind: str
    type: int
    shape: tuple[Size, ...] | None


class Node:
    """One NodeProto. An empty input or output name means that it is left out."""

    __slots__ = ("attributes", "domain", "inputs", "name", "operator", "outputs", "overload")

    def __init__(self, data: Buffer, at: int, end: int, depth: int) -> None:
        self.name = self.operator = self.domain = self.overload = ""
        self.inputs: list[str] = []
        self.outputs: list[str] = []
        spans = []
        for key, a, b in fields(data, at, end):
            if key == 10:
                self.inputs.append(text(data, a, b))
            elif key == 18:
                self.outputs.append(text(data, a, b))
            elif key == 34:
                self.operator = text(data, a, b)
            elif key == 42:
                spans.append((a, b))
            elif key == 26:
                self.name = text(data, a, b)
            elif key == 58:
                self.domain = text(data, a, b)
            elif key == 66:
                self.overload = text(data, a, b)
        if self.domain == "ai.onnx":
            self.domain = ""
        self.attributes = Attributes(data, spans, depth)

    @property
    def title(self) -> str:
        """How a person finds it: its name, else that of its first output."""
        return self.name or next(filter(None, self.outputs), self.operator)


class Graph:
    """One GraphProto: nodes in order, constants, inputs and outputs."""

    __slots__ = ("_data", "_declared", "initializers", "inputs", "name", "nodes", "outputs", "sparse")

    def __init__(self, data: Buffer, at: int, end: int, depth: int) -> None:
        if depth > DEEPEST:
            raise damaged("graphs are nested too deep")
        self._data = data
        self.name = ""
        self.nodes: list[Node] = []
        self.initializers: list[Tensor] = []
        self.sparse: list[tuple[Tensor, ...]] = []
        """values and indices of each sparse initializer; the values bear its name"""
        self.inputs: list[ValueInfo] = []
        """with those that an initializer of the same name gives a default"""
        self.outputs: list[ValueInfo] = []
        self._declared: list[tuple[int, int]] = []
        for key, a, b in fields(data, at, end):
            if key == 10:
                self.nodes.append(Node(data, a, b, depth))
            elif key == 42:
                self.initializers.append(Tensor(data, a, b))
            elif key == 90:
                self.inputs.append(_value_info(data, a, b))
            elif key == 98:
                self.outputs.append(_value_info(data, a, b))
            elif key == 106:
                self._declared.append((a, b))
            elif key == 122:
                self.sparse.append(tuple(Tensor(data, c, d) for k, c, d in fields(data, a, b) if k in (10, 18)))
            elif key == 18:
                self.name = text(data, a, b)

    def value_info(self) -> list[ValueInfo]:
        """The types declared for values within the graph; nothing in the file vouches for them."""
        return [_value_info(self._data, a, b) for a, b in self._declared]

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor of the graph: initializers, sparse ones, and those in attributes of nodes and their graphs."""
        yield from self.initializers
        for parts in self.sparse:
            yield from parts
        yield from tensors_of(self.nodes)

    def all_nodes(self) -> Iterator[Node]:
        """Every node of the graph and of the graphs in its attributes."""
        return and_within(self.nodes)


class Attribute:
    """One AttributeProto. Its values stay in the file, so that a forest of a million numbers costs nothing."""

    __slots__ = ("_data", "_depth", "_span", "name")

    def __init__(self, data: Buffer, at: int, end: int, depth: int, name: str) -> None:
        self._data, self._span, self._depth = data, (at, end), depth
        self.name = name

    def _fields(self) -> Iterator[tuple[int, int, int]]:
        return fields(self._data, *self._span)

    @property
    def reference(self) -> str:
        """In a function's body: the attribute of the calling node that it stands for; else empty."""
        return next((text(self._data, a, b) for key, a, b in self._fields() if key == 170), "")

    def integer(self) -> int | None:
        """Its integer, None where it has none."""
        found = None
        for key, a, _ in self._fields():
            if key == 24:
                found = signed(a)
        return found

    def number(self) -> float | None:
        """Its number, None where it has none."""
        found = None
        for key, a, b in self._fields():
            if key == 21:
                (found,) = struct.unpack("<f", self._data[a:b])
        return found

    def string(self) -> str | None:
        """Its text, None where it has none."""
        found = None
        for key, a, b in self._fields():
            if key == 34:
                found = text(self._data, a, b)
        return found

    def ints(self) -> tuple[int, ...]:
        """Its list of integers."""
        found: list[int] = []
        for key, a, b in self._fields():
            if key == 64:
                found.append(signed(a))
            elif key == 66:
                found.extend(packed_ints(self._data, a, b))
        return tuple(found)

    def floats(self) -> tuple[float, ...]:
        """Its list of numbers."""
        found: list[float] = []
        for key, a, b in self._fields():
            if key in (61, 58):
                found.extend(packed_floats(self._data, a, b))
        return tuple(found)

    def strings(self) -> tuple[str, ...]:
        """Its list of texts."""
        return tuple(text(self._data, a, b) for key, a, b in self._fields() if key == 74)

    def count(self) -> int:
        """How many integers, numbers or texts its list has."""
        found = 0
        for key, a, b in self._fields():
            if key in (64, 61, 74):
                found += 1
            elif key == 58:
                found += (b - a) // 4
            elif key == 66:
                found += sum(1 for _ in packed_ints(self._data, a, b))
        return found

    def tensor(self) -> Tensor | None:
        """Its tensor, None where it has none. Raises BadModel where it has two."""
        found = [Tensor(self._data, a, b) for key, a, b in self._fields() if key == 42]
        if len(found) > 1:
            raise damaged(f"the attribute {self.name!r} has two tensors")
        return found[0] if found else None

    def graph(self) -> Graph | None:
        """Its graph, None where it has none. Raises BadModel where it has two."""
        found = [(a, b) for key, a, b in self._fields() if key == 50]
        if len(found) > 1:
            raise damaged(f"the attribute {self.name!r} has two graphs")
        return self._graph(*found[0]) if found else None

    def tensors(self) -> Iterator[Tensor]:
        """All of its tensors, those of sparse ones too."""
        for key, a, b in self._fields():
            if key in (42, 82):
                yield Tensor(self._data, a, b)
            elif key in (178, 186):
                for part, c, d in fields(self._data, a, b):
                    if part in (10, 18):
                        yield Tensor(self._data, c, d)

    def graphs(self) -> Iterator[Graph]:
        """All of its graphs."""
        for key, a, b in self._fields():
            if key in (50, 90):
                yield self._graph(a, b)

    def _graph(self, at: int, end: int) -> Graph:
        return Graph(self._data, at, end, self._depth + 1)


class Attributes:
    """A node's attributes by name. The names are read at the first question."""

    __slots__ = ("_data", "_depth", "_found", "_spans")

    def __init__(self, data: Buffer, spans: list[tuple[int, int]], depth: int) -> None:
        self._data, self._spans, self._depth = data, spans, depth
        self._found: dict[str, Attribute] | None = None

    def _by_name(self) -> dict[str, Attribute]:
        if self._found is None:
            self._found = {}
            for start, end in self._spans:
                name = self._name(start, end)
                if name in self._found:
                    raise damaged(f"there are two attributes {name!r}")
                self._found[name] = Attribute(self._data, start, end, self._depth, name)
        return self._found

    def _name(self, start: int, end: int) -> str:
        # Writers put the name first; a list of a million numbers before it is walked over.
        return next((text(self._data, a, b) for key, a, b in fields(self._data, start, end) if key == 10), "")

    def __len__(self) -> int:
        return len(self._spans)

    def __contains__(self, name: str) -> bool:
        return bool(self._spans) and name in self._by_name()

    def get(self, name: str) -> Attribute | None:
        """The attribute, None where there is none of this name."""
        return self._by_name().get(name) if self._spans else None

    def values(self) -> Iterator[Attribute]:
        """All of them, in order."""
        return iter(self._by_name().values()) if self._spans else iter(())


def _value_info(data: Buffer, at: int, end: int) -> ValueInfo:
    name, kind, element, shape = "", "", 0, None
    for key, a, b in fields(data, at, end):
        if key == 10:
            name = text(data, a, b)
        elif key == 18:
            for key_of_type, c, d in fields(data, a, b):
                if key_of_type in _KINDS:
                    kind = _KINDS[key_of_type]
                    element, shape = _tensor_type(data, c, d) if kind == "tensor" else (0, None)
    return ValueInfo(name, kind, element, shape)


def _tensor_type(data: Buffer, at: int, end: int) -> tuple[int, tuple[Size, ...] | None]:
    element, shape = 0, None
    for key, a, b in fields(data, at, end):
        if key == 8:
            element = a & 0xFFFFFFFF
        elif key == 18:
            shape = tuple(_dim(data, c, d) for k, c, d in fields(data, a, b) if k == 10)
    return element, shape


def _dim(data: Buffer, at: int, end: int) -> Size:
    found: Size = None
    for key, a, b in fields(data, at, end):
        if key == 8:
            found = signed(a)
        elif key == 18:
            found = text(data, a, b) or None
    return found if not isinstance(found, int) or found >= 0 else None


def tensors_of(nodes: list[Node]) -> Iterator[Tensor]:
    """Every tensor in the attributes of the nodes."""
    for node in nodes:
        for attribute in node.attributes.values():
            yield from tensors_in(attribute)


def tensors_in(attribute: Attribute) -> Iterator[Tensor]:
    """Every tensor of an attribute and of its graphs."""
    yield from attribute.tensors()
    for graph in attribute.graphs():
        yield from graph.tensors()


def and_within(nodes: list[Node]) -> Iterator[Node]:
    """The nodes, and those of the graphs in their attributes."""
    for node in nodes:
        yield node
        for attribute in node.attributes.values():
            for graph in attribute.graphs():
                yield from graph.all_nodes()

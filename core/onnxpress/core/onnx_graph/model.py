"""ModelProto and what it holds: graphs, nodes, attributes, functions, the types of inputs and outputs."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from onnxpress.core.errors import BadModel
from onnxpress.core.onnx_graph.attribute import Attribute, Attributes
from onnxpress.core.onnx_graph.tensor import Tensor
from onnxpress.core.onnx_graph.wire import Buffer, damaged, fields, signed, text

DEEPEST = 40
"""graphs within graphs; protobuf's own limit of 100 messages within messages ends at 33"""

Size = int | str | None
"""of one axis: a number, a name, or None where the file says nothing"""
_KINDS = {10: "tensor", 34: "sequence", 42: "map", 74: "optional", 66: "sparse tensor", 58: "opaque"}


@dataclass(frozen=True, slots=True)
class ValueInfo:
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
        yield from _in_nodes(self.nodes)

    def all_nodes(self) -> Iterator[Node]:
        """Every node of the graph and of the graphs in its attributes."""
        return _and_within(self.nodes)


class Function:
    """One FunctionProto: a node's operator written as other nodes."""

    __slots__ = ("attributes", "defaults", "domain", "inputs", "name", "nodes", "opsets", "outputs", "overload")

    def __init__(self, data: Buffer, at: int, end: int) -> None:
        self.name = self.domain = self.overload = ""
        self.inputs: list[str] = []
        self.outputs: list[str] = []
        self.attributes: list[str] = []
        """the names of those without a default"""
        self.nodes: list[Node] = []
        self.opsets: dict[str, int] = {}
        spans = []
        for key, a, b in fields(data, at, end):
            if key == 58:
                self.nodes.append(Node(data, a, b, 0))
            elif key == 10:
                self.name = text(data, a, b)
            elif key == 34:
                self.inputs.append(text(data, a, b))
            elif key == 42:
                self.outputs.append(text(data, a, b))
            elif key == 50:
                self.attributes.append(text(data, a, b))
            elif key == 74:
                _opset(self.opsets, data, a, b)
            elif key == 82:
                self.domain = text(data, a, b)
            elif key == 90:
                spans.append((a, b))
            elif key == 106:
                self.overload = text(data, a, b)
        if self.domain == "ai.onnx":
            self.domain = ""
        self.defaults = Attributes(data, spans, 0)

    @property
    def key(self) -> tuple[str, str, str]:
        """Domain, name and overload, by which a node calls it."""
        return self.domain, self.name, self.overload

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor in its nodes and in the defaults of its attributes."""
        yield from _in_nodes(self.nodes)
        for attribute in self.defaults.values():
            yield from _in_attribute(attribute)


class Model:
    """One ModelProto. Weights stay where they are; attributes are read when they are asked for.

    >>> with open_model(path) as model:
    ...     [node.operator for node in model.graph.nodes]

    Raises BadModel where the bytes are no ONNX model, also later, when a part is asked for.
    """

    def __init__(self, data: Buffer) -> None:
        self.ir_version = 0
        self.producer = ""
        self.opsets: dict[str, int] = {}
        """domain → version; the standard operators' domain is ''"""
        self.metadata: dict[str, str] = {}
        self.functions: dict[tuple[str, str, str], Function] = {}
        """by domain, name and overload"""
        self.training: list[Graph] = []
        """graphs for training alone, which no inference runs"""
        graph = None
        for key, a, b in fields(data, 0, len(data)):
            if key == 58:
                if graph is not None:
                    raise damaged("it has two graphs")
                graph = Graph(data, a, b, 0)
            elif key == 66:
                _opset(self.opsets, data, a, b)
            elif key == 8:
                self.ir_version = signed(a)
            elif key == 18:
                self.producer = text(data, a, b)
            elif key == 114:
                entry = {k: text(data, c, d) for k, c, d in fields(data, a, b) if k in (10, 18)}
                self.metadata[entry.get(10, "")] = entry.get(18, "")
            elif key == 162:
                self.training += [Graph(data, c, d, 0) for k, c, d in fields(data, a, b) if k in (10, 18)]
            elif key == 202:
                function = Function(data, a, b)
                if function.key in self.functions:
                    raise damaged(f"there are two functions {function.name!r}")
                self.functions[function.key] = function
        if graph is None:
            raise damaged("it has no graph")
        self.graph = graph

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor of the file, wherever it is: each may name external data."""
        for graph in (self.graph, *self.training):
            yield from graph.tensors()
        for function in self.functions.values():
            yield from function.tensors()

    def all_nodes(self) -> Iterator[Node]:
        """Every node of the graph, of the graphs in its attributes, and of the functions."""
        yield from self.graph.all_nodes()
        for function in self.functions.values():
            yield from _and_within(function.nodes)


@contextmanager
def open_model(path: Path) -> Iterator[Model]:
    """The model in a file, which stays mapped until the block ends; nothing of it may be asked for afterwards.

    Raises BadModel, naming the file, where it is no ONNX model, also for what is asked within the block.
    """
    try:
        with mapped(path) as content:
            yield Model(content)
    except BadModel as error:
        error.where = error.where or str(path)
        raise


@contextmanager
def mapped(path: Path) -> Iterator[Buffer]:
    """The file's content, mapped; an empty file cannot be, and is no bytes."""
    with path.open("rb") as file:
        try:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            yield b""
            return
        with content:
            yield content


def _opset(opsets: dict[str, int], data: Buffer, at: int, end: int) -> None:
    domain, version = "", 0
    for key, a, b in fields(data, at, end):
        if key == 10:
            domain = text(data, a, b)
        elif key == 16:
            version = signed(a)
    opsets["" if domain == "ai.onnx" else domain] = version


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


def _in_nodes(nodes: list[Node]) -> Iterator[Tensor]:
    for node in nodes:
        for attribute in node.attributes.values():
            yield from _in_attribute(attribute)


def _in_attribute(attribute: Attribute) -> Iterator[Tensor]:
    yield from attribute.tensors()
    for graph in attribute.graphs():
        yield from graph.tensors()


def _and_within(nodes: list[Node]) -> Iterator[Node]:
    for node in nodes:
        yield node
        for attribute in node.attributes.values():
            for graph in attribute.graphs():
                yield from graph.all_nodes()

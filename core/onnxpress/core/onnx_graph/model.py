"""ModelProto and FunctionProto: a whole file."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from onnxpress.core.errors import BadModel
from onnxpress.core.onnx_graph.graph import Attributes, Graph, Node, and_within, tensors_in, tensors_of
from onnxpress.core.onnx_graph.tensor import Tensor
from onnxpress.core.onnx_graph.wire import Buffer, damaged, fields, signed, text

_LARGE = 1 << 16
"""bytes of a weight in which no name is looked for"""
_PIECE = 1 << 18
"""bytes that are searched at once; in a file that is mapped they may have yet to be read from a disk"""


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
        yield from tensors_of(self.nodes)
        for attribute in self.defaults.values():
            yield from tensors_in(attribute)


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
        self._data = data
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

    def holds(self, content: bytes) -> bool:
        """Whether these bytes are in the file, large weights left out: quicker than to look at every message."""
        at = 0
        for tensor in self.graph.initializers:
            if tensor.raw is not None and tensor.raw[1] - tensor.raw[0] >= _LARGE:
                if held(self._data, content, at, tensor.raw[0]):
                    return True
                at = tensor.raw[1]
        return held(self._data, content, at, len(self._data))

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
            yield from and_within(function.nodes)


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


def held(data: Buffer, content: bytes, at: int, end: int) -> bool:
    """Whether `content` is in `data[at:end]`. Between two pieces other threads have their turn; `find` lets none."""
    while at < end:
        if data.find(content, at, min(end, at + _PIECE + len(content) - 1)) >= 0:
            return True
        at += _PIECE
    return False


def _opset(opsets: dict[str, int], data: Buffer, at: int, end: int) -> None:
    domain, version = "", 0
    for key, a, b in fields(data, at, end):
        if key == 10:
            domain = text(data, a, b)
        elif key == 16:
            version = signed(a)
    opsets["" if domain == "ai.onnx" else domain] = version

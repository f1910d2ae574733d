"""AttributeProto: a node's settings, read when they are asked for."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

from onnxpress.core.onnx_graph.tensor import Tensor
from onnxpress.core.onnx_graph.wire import Buffer, damaged, fields, packed_floats, packed_ints, signed, text

if TYPE_CHECKING:
    from onnxpress.core.onnx_graph.model import Graph


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
        from onnxpress.core.onnx_graph.model import Graph

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

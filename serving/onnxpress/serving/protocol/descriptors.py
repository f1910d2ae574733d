"""What gRPC's clients may ask of the services here: the descriptors of their files, and which file has which name.

`descriptors.binpb` is a FileDescriptorSet of the files in `protos/`, made by `scripts/write_descriptors.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from onnxpress.core.onnx_graph import wire

PATH: Final = Path(__file__).parent / "descriptors.binpb"
_NAMES: Final = {4: "message", 5: "enum", 6: "service"}


def _parts(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The fields of a message that are bytes: number and content."""
    for key, start, stop in wire.fields(data, 0, len(data)):
        if key & 7 == wire.BYTES:
            yield key >> 3, data[start:stop]


class Descriptors:
    """Those of all files. `files`: a file's name → its FileDescriptorProto."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self._needs: dict[str, list[str]] = {}
        self._file_of: dict[str, str] = {}
        for _, file in _parts(PATH.read_bytes()):
            self._learn(file)

    def _learn(self, file: bytes) -> None:
        parts = list(_parts(file))
        (name,) = [content.decode() for number, content in parts if number == 1]
        package = "".join([content.decode() + "." for number, content in parts if number == 2])
        self.files[name] = file
        self._needs[name] = [content.decode() for number, content in parts if number == 3]
        for number, content in parts:
            if number in _NAMES:
                for symbol in _symbols(content, package, _NAMES[number]):
                    self._file_of[symbol] = name

    def with_needed(self, name: str) -> list[bytes]:
        """A file and all that it imports, itself first; nothing where there is none of this name."""
        found, left = dict[str, bytes](), [name]
        while left:
            one = left.pop()
            if one in self.files and one not in found:
                found[one] = self.files[one]
                left += self._needs[one]
        return list(found.values())

    def file_of(self, symbol: str) -> str | None:
        """The name of the file that has a symbol with its full name; None where none has."""
        return self._file_of.get(symbol)


def _symbols(content: bytes, before: str, kind: str) -> Iterator[str]:
    """The full names of a message, enum or service, and of what is in it."""
    parts = list(_parts(content))
    (name,) = [text.decode() for number, text in parts if number == 1]
    yield before + name
    for number, inner in parts:
        if kind == "message" and number in (3, 4):
            yield from _symbols(inner, f"{before}{name}.", "message" if number == 3 else "enum")
        elif number == 2 or (kind == "message" and number == 8):
            (called,) = [text.decode() for place, text in _parts(inner) if place == 1]
            # The values of an enum stand beside it.
            yield f"{before}{called}" if kind == "enum" else f"{before}{name}.{called}"

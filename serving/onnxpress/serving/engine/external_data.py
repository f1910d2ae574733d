"""Where a model file says that its weights lie, and that this is inside its own folder.

A repository may come from somebody else. ONNX Runtime refuses `..`, absolute paths and symbolic links in external data;
a hard link it follows, and with it any file of the machine could be made a weight and read out through the answers.
"""

from __future__ import annotations

import contextlib
import mmap
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from onnxpress.core.errors import BadModel

_DEEPEST = 100
"""protobuf's own limit for messages within messages"""

# Field numbers of onnx.proto3 by which a TensorProto can be reached.
_ENTRY: dict[int, Any] = {}
_TENSOR: dict[int, Any] = {13: _ENTRY}
_SPARSE: dict[int, Any] = {1: _TENSOR, 2: _TENSOR}
_GRAPH: dict[int, Any] = {}
_ATTRIBUTE: dict[int, Any] = {5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH, 22: _SPARSE, 23: _SPARSE}
_NODE: dict[int, Any] = {5: _ATTRIBUTE}
_GRAPH.update({1: _NODE, 5: _TENSOR, 15: _SPARSE})
_MODEL: dict[int, Any] = {7: _GRAPH, 20: {1: _GRAPH, 2: _GRAPH}, 25: {7: _NODE}}
_LOCATION = b"location"


@contextlib.contextmanager
def mapped(model: Path) -> Iterator[mmap.mmap | bytes]:
    """The file's content, mapped; an empty file cannot be, and is no bytes."""
    with model.open("rb") as file:
        try:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            yield b""
            return
        with content:
            yield content


def locations(model: Path) -> frozenset[str]:
    """The files that the model's tensors name as the place of their data. Raises BadModel where it is no protobuf."""
    with mapped(model) as content:
        # Most models name none; walking through a large graph would cost tens of milliseconds.
        found = _found(content) if content.find(_LOCATION) >= 0 else frozenset()
    if found is None:
        raise BadModel("it is not an ONNX model, or a damaged one", where=str(model))
    return found


def _found(content: mmap.mmap | bytes) -> frozenset[str] | None:
    """None where it is no protobuf. A function of its own: an error under way would keep the map from being closed."""
    try:
        with memoryview(content) as view:
            return frozenset(_locations(view, _MODEL, 0))
    except (ValueError, IndexError):
        return None


def check(model: Path) -> list[Path]:
    """The files beside the model that hold its external data.

    Raises BadModel for one that is not a regular file of its own inside the model's folder, or is not there.
    """
    found = []
    for location in sorted(locations(model)):
        path = model.parent / location
        why = _outside(model.parent, location)
        if why is not None:
            raise BadModel(
                f"its external data {location!r} {why}",
                where=str(model),
                hint="external data must be a file of its own in the version's folder; copy it there",
            )
        found.append(path)
    return found


def _outside(folder: Path, location: str) -> str | None:
    """What is wrong with a location; None where nothing is."""
    parts = PurePosixPath(location).parts
    if not parts or "\0" in location or PurePosixPath(location).is_absolute() or PureWindowsPath(location).anchor:
        return "is not a path inside the version's folder"
    if ".." in parts or ".." in PureWindowsPath(location).parts:
        return "leads out of the version's folder"
    path = folder
    for part in parts:
        path /= part
        try:
            found = path.lstat()
        except OSError:
            return "is missing"
        if stat.S_ISLNK(found.st_mode):
            return "is reached by a symbolic link"
    if not stat.S_ISREG(found.st_mode):
        return "is not a file"
    if found.st_nlink != 1:
        return f"is a hard link: the same file has {found.st_nlink} names"
    return None


def _locations(data: memoryview, message: dict[int, Any], depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        raise ValueError("nested too deep")
    if message is _ENTRY:
        entry = {number: bytes(value) for number, value in _fields(data)}
        if entry.get(1) == _LOCATION:
            yield entry.get(2, b"").decode()
        return
    for number, value in _fields(data):
        if number in message:
            yield from _locations(value, message[number], depth + 1)


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The length-delimited fields of a message: number and content. Raises ValueError or IndexError past the end."""
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 2:
            size, at = _varint(data, at)
            if at + size > end:
                raise ValueError("cut off")
            yield key >> 3, data[at : at + size]
            at += size
        elif kind == 0:
            _, at = _varint(data, at)
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise ValueError(f"wire type {kind}")


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number too long")

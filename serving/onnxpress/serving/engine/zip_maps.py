"""scikit-learn's ZipMap in a file of the plain converter: taken out, so that the tensor that it wraps is the answer.

ZipMap makes a list of dictionaries of a tensor of probabilities, row by row. Requests and answers carry tensors, and
the columns are in the order of its labels anyway. The node becomes an Identity, and the graph's output a float tensor.
"""

from __future__ import annotations

from pathlib import Path

from onnxpress.core.onnx_graph import Attribute, Buffer, Model, fields, open_model

_GRAPH, _NODE, _OUTPUT = 7, 1, 12
"""field numbers of ModelProto and GraphProto"""
_FLOAT = 1


def unwrapped(model: str | bytes) -> bytes | None:
    """The serialized model without its ZipMaps; None where it has none that a graph output comes from.

    Raises BadModel where the file cannot be read.
    """
    if isinstance(model, bytes):
        return _unwrapped(Model(model), model)
    with open_model(Path(model)) as read:
        return _unwrapped(read, Path(model).read_bytes())


def labels(attributes: dict[str, Attribute]) -> int:
    """How many columns the labels of a ZipMap name."""
    texts, numbers = attributes.get("classlabels_strings"), attributes.get("classlabels_int64s")
    return len(texts.strings()) if texts is not None else len(numbers.ints()) if numbers is not None else 0


def _unwrapped(read: Model, content: bytes) -> bytes | None:
    answers = {value.name for value in read.graph.outputs}
    found: dict[str, tuple[str, int]] = {}
    for node in read.graph.nodes:
        if node.operator == "ZipMap" and node.domain == "ai.onnx.ml" and node.outputs[0] in answers:
            named = {one.name: one for one in node.attributes.values()}
            found[node.outputs[0]] = node.inputs[0], labels(named)
    if not found:
        return None
    parts = []
    for key, start, end in fields(content, 0, len(content)):
        if key >> 3 == _GRAPH:
            parts.append(_field(_GRAPH, _graph(content, start, end, found)))
        else:
            parts.append(_again(content, key, start, end))
    return b"".join(parts)


def _graph(content: bytes, start: int, end: int, found: dict[str, tuple[str, int]]) -> bytes:
    parts = []
    for key, at, stop in fields(content, start, end):
        number = key >> 3
        if number == _NODE and (output := _text(content, at, stop, 2)) in found and _text(content, at, stop, 4) == _ZIP:
            tensor, _ = found[output]
            # A name of its own: its attributes would be none of an Identity's.
            identity = _field(1, tensor.encode()) + _field(2, output.encode()) + _field(4, b"Identity")
            parts.append(_field(_NODE, identity))
        elif number == _OUTPUT and (name := _text(content, at, stop, 1)) in found:
            parts.append(_field(_OUTPUT, _tensor(name, found[name][1])))
        else:
            parts.append(_again(content, key, at, stop))
    return b"".join(parts)


_ZIP = "ZipMap"


def _text(content: Buffer, start: int, end: int, number: int) -> str:
    """The first text of this number in a message."""
    for key, at, stop in fields(content, start, end):
        if key == number << 3 | 2:
            return bytes(content[at:stop]).decode("utf-8", "surrogateescape")
    return ""


def _tensor(name: str, columns: int) -> bytes:
    """A ValueInfoProto: float, rows by as many columns as there are labels."""
    shape = _field(1, b"") + (_field(1, _number(1, columns)) if columns else _field(1, b""))
    return _field(1, name.encode()) + _field(2, _field(1, _number(1, _FLOAT) + _field(2, shape)))


def _again(content: bytes, key: int, start: int, end: int) -> bytes:
    """A field as it was."""
    kind = key & 7
    if kind == 2:
        return _field(key >> 3, content[start:end])
    if kind == 0:
        return _varint(key) + _varint(start)
    return _varint(key) + content[start:end]


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)

"""TensorFlow Serving's ClassificationRequest and RegressionRequest: tf.Example in, scores or numbers out."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadModel
from onnxpress.core.onnx_graph import wire
from onnxpress.serving.exchange import Headers
from onnxpress.serving.protocol import tensorflow_examples
from onnxpress.serving.protocol.inputs import Form, Inputs
from onnxpress.serving.protocol.predict_messages import model_spec
from onnxpress.serving.protocol.protobuf import field
from onnxpress.serving.protocol.refusal import Refusal
from onnxpress.serving.protocol.requests import Reader

if TYPE_CHECKING:
    from onnxpress.serving.protocol.responses import Writer

_MOST: Final = 4 << 20
"""fields of a message: a feature has five, and one for each value that does not come packed"""
_FLOAT: Final = struct.Struct("<f")


class _Classifications:
    """For each example its classes."""

    def write(self, writer: Writer, inputs: Inputs, answers: Sequence[Array]) -> tuple[bytes, Headers]:
        """Raises Refusal where the model has no output of scores, or several."""
        rows = []
        for row in tensorflow_examples.classes(writer, inputs, answers):
            classes = [field(1, name.encode()) + b"\x15" + _float(score) for name, score in row]
            rows.append(field(1, b"".join([field(1, one) for one in classes])))
        return field(1, b"".join(rows)) + field(2, model_spec(writer.name, writer.version)), ()


class _Regressions:
    """For each example one number."""

    def write(self, writer: Writer, inputs: Inputs, answers: Sequence[Array]) -> tuple[bytes, Headers]:
        """Raises Refusal where the model has no output of one float for each row, or several."""
        numbers = tensorflow_examples.numbers(writer, inputs, answers)
        rows = b"".join([field(1, b"\x0d" + _float(number)) for number in numbers])
        return field(1, rows) + field(2, model_spec(writer.name, writer.version)), ()


def read_classify(reader: Reader, body: bytes) -> Inputs:
    """Read a ClassificationRequest. Raises Refusal."""
    return _read(reader, body, _Classifications())


def read_regress(reader: Reader, body: bytes) -> Inputs:
    """Read a RegressionRequest. Raises Refusal."""
    return _read(reader, body, _Regressions())


def _read(reader: Reader, body: bytes, form: Form) -> Inputs:
    examples: list[dict[str, Any]] = []
    context: dict[str, Any] = {}
    found = _Examples(body)
    try:
        for key, start, stop in found.fields(0, len(body)):
            if key != _bytes(2):
                continue
            for kind, at, end in found.fields(start, stop):
                if kind not in (_bytes(1), _bytes(2)):
                    continue
                for inner, first, last in found.fields(at, end):
                    if inner == _bytes(1):
                        examples.append(found.example(first, last))
                    elif inner == _bytes(2) and kind == _bytes(2):
                        context = found.example(first, last)
    except UnicodeDecodeError:
        raise Refusal(400, "a feature of an example is not UTF-8, and strings are") from None
    except (BadModel, ValueError):
        raise Refusal(400, "the message has no list of examples, or is cut off") from None
    text = msgspec.json.encode({"examples": tensorflow_examples.with_context(context, examples)})
    return tensorflow_examples.read(reader, text, form)


def _float(number: float) -> bytes:
    try:
        return _FLOAT.pack(number)
    except OverflowError:  # the model answers doubles
        return _FLOAT.pack(math.copysign(math.inf, number))


def _bytes(number: int) -> int:
    """The key of a field of bytes."""
    return number << 3 | wire.BYTES


class _Examples:
    """The examples of one message."""

    def __init__(self, body: bytes) -> None:
        self._body, self._left = body, _MOST

    def fields(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """See `wire.fields`. Raises ValueError where there are too many in all."""
        for one in wire.fields(self._body, start, stop):
            self._left -= 1
            if self._left < 0:
                raise ValueError
            yield one

    def example(self, start: int, stop: int) -> dict[str, Any]:
        """Feature → its values."""
        found: dict[str, Any] = {}
        body = self._body
        for key, at, end in self.fields(start, stop):
            if key != _bytes(1):
                continue
            for inner, first, last in self.fields(at, end):
                if inner != _bytes(1):
                    raise ValueError
                name, values = "", list[Any]()
                for kind, begin, close in self.fields(first, last):
                    if kind == _bytes(1):
                        name = body[begin:close].decode()
                    elif kind == _bytes(2):
                        values = self._values(begin, close)
                found[name] = values
        return found

    def _values(self, start: int, stop: int) -> list[Any]:
        """Of a Feature: texts, floats or whole numbers."""
        body = self._body
        found: list[Any] = []
        for key, at, end in self.fields(start, stop):
            for inner, first, last in self.fields(at, end):
                if key == _bytes(1) and inner == _bytes(1):
                    found.append(body[first:last].decode())
                elif key == _bytes(2) and inner in (_bytes(1), 1 << 3 | wire.FIXED32):
                    found += np.frombuffer(body[first:last], "<f4").tolist()
                elif key == _bytes(3) and inner == _bytes(1):
                    found += wire.packed_ints(body, first, last)
                elif key == _bytes(3) and inner == 1 << 3:
                    found.append(wire.signed(first))
                else:
                    raise ValueError
        return found

"""The binary tensor extension: tensors as bytes behind the JSON, both ways, without a number ever being text.

Little-endian, rows one after the other; BF16 in its two bytes, BOOL in one, and each BYTES element as a four-byte
length and that many bytes of UTF-8.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.tensors import TensorSpec
from onnxpress.serving.engine.bfloat16 import from_bits, to_bits
from onnxpress.serving.engine.dtypes import array_dtype
from onnxpress.serving.exchange import Headers
from onnxpress.serving.protocol.datatypes import DATATYPE_OF
from onnxpress.serving.protocol.refusal import Refusal, shown
from onnxpress.serving.protocol.responses import flat_text

if TYPE_CHECKING:
    from onnxpress.serving.protocol.inputs import Inputs
    from onnxpress.serving.protocol.responses import Writer

_LENGTH = struct.Struct("<I")


class Binary:
    """The form of an answer with some outputs, or all, as bytes. `numbers` are those outputs.

    `classes`: output → how many of its best classes are answered instead of its values.
    """

    def __init__(self, numbers: Collection[int], classes: Mapping[int, int] | None = None) -> None:
        self.numbers, self.classes = numbers, classes or {}

    def write(self, writer: Writer, inputs: Inputs, answers: Sequence[Array]) -> tuple[bytes, Headers]:
        """The JSON, then the bytes of the outputs that are not in it; and the headers that say how much is JSON."""
        chosen = range(len(answers)) if inputs.outputs is None else inputs.outputs
        outputs, behind = [], []
        for number in chosen:
            spec, answer = writer.outputs[number], answers[number]
            dtype = spec.dtype
            if number in self.classes:
                answer, dtype = classified(writer, inputs, spec, answer, self.classes[number]), "string"
            if number in self.numbers:
                behind.append(to_bytes(dtype, answer))
                rest = b',"parameters":{"binary_data_size":%d}}' % len(behind[-1])
            else:
                rest = b',"data":[%b]}' % flat_text(answer)
            outputs.append(writer.described(number, answer.shape, dtype) + rest)
        text = b'%b"outputs":[%b]}' % (writer.opening(inputs), b",".join(outputs))
        if not self.numbers:
            return text, ()
        kind = (b"content-type", b"application/octet-stream")
        return b"".join([text, *behind]), (kind, (b"inference-header-content-length", b"%d" % len(text)))


def classified(writer: Writer, inputs: Inputs, spec: TensorSpec, answer: Array, count: int) -> Array:
    """So many of an output's best classes in place of its values; see `classification`."""
    from onnxpress.serving.protocol.classification import best  # few ask for it

    return best(spec, answer, count, writer.labels.get(spec.name, ()), rows=inputs.tails is not None)


def form(
    asked: Mapping[str, Any] | None,
    outputs: Sequence[tuple[int, Mapping[str, Any] | None]],
    classes: Mapping[int, int],
) -> Binary | None:
    """What a request wants as bytes, by its own parameters and by those of its `outputs`: (number, parameters).

    None where it wants neither bytes nor `classes`.
    """
    every = _flag(asked, "binary_data_output", default=False)
    numbers = [number for number, parameters in outputs if _flag(parameters, "binary_data", default=every)]
    return Binary(frozenset(numbers), classes) if numbers or classes else None


def _flag(parameters: Mapping[str, Any] | None, name: str, *, default: bool) -> bool:
    value = (parameters or {}).get(name, default)
    if not isinstance(value, bool):
        raise Refusal(400, f"the parameter {name} must be true or false")
    return value


def cut(tensors: Sequence[tuple[str, Mapping[str, Any] | None]], behind: memoryview) -> dict[str, memoryview]:
    """Name → bytes, for every tensor (name, parameters) that says its binary_data_size, in the request's order."""
    found, start = {}, 0
    for name, parameters in tensors:
        size = (parameters or {}).get("binary_data_size")
        if size is None:
            continue
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= len(behind) - start:
            left = len(behind) - start
            raise Refusal(400, f"the input {name!r} cannot have a binary_data_size of {size!r}; {left} bytes are left")
        found[name] = behind[start : start + size]
        start += size
    if start != len(behind):
        raise Refusal(400, f"{len(behind) - start} bytes of the body belong to no input's binary_data_size")
    return found


def from_bytes(spec: TensorSpec, count: int, content: memoryview) -> Array:
    """`count` values, flat; a view of `content` where its bytes lie as numpy wants them. Raises Refusal."""
    if spec.dtype == "string":
        return _texts(spec, count, content)
    wire = np.dtype({"bfloat16": "uint16", "bool": "uint8"}.get(spec.dtype, spec.dtype)).newbyteorder("<")
    if len(content) != count * wire.itemsize:
        wanted = f"{shown(count)} values of {DATATYPE_OF[spec.dtype]} have {shown(count * wire.itemsize)}"
        raise Refusal(400, f"the input {spec.name!r} has {len(content)} bytes; {wanted}")
    values: Array = np.frombuffer(content, wire)
    if spec.dtype == "bfloat16":
        return from_bits(values)
    if spec.dtype == "bool":
        return values != 0  # a byte that is neither 0 nor 1 would be a bool that is neither true nor false
    return values if values.flags.aligned and wire.isnative else values.astype(wire.newbyteorder("="))


def plain_size(spec: TensorSpec, count: int) -> int:
    """Bytes of `count` values where they lie as numpy's arrays have them; -1 where they do not."""
    if spec.dtype in ("string", "bfloat16", "bool") or sys.byteorder != "little":
        return -1
    return count * np.dtype(spec.dtype).itemsize


def _texts(spec: TensorSpec, count: int, content: memoryview) -> Array:
    if count > len(content) // _LENGTH.size:  # each has its length before it, if nothing else
        raise Refusal(400, f"the input {spec.name!r} has {len(content)} bytes, too few for {shown(count)} values")
    values, start = np.empty(count, object), 0
    for number in range(count):
        stop = start + _LENGTH.size
        if stop <= len(content):
            start, stop = stop, stop + _LENGTH.unpack_from(content, start)[0]
        if stop > len(content):
            raise Refusal(400, f"the bytes of {spec.name!r} end inside its value {number} of {count}")
        try:
            values[number] = str(content[start:stop], "utf-8")
        except UnicodeDecodeError:
            raise Refusal(400, f"value {number} of {spec.name!r} is not UTF-8, and strings are") from None
        start = stop
    if start != len(content):
        raise Refusal(400, f"the input {spec.name!r} has {len(content) - start} bytes behind its {count} values")
    return values


def to_bytes(dtype: str, answer: Array) -> bytes:
    """A tensor as the wire has it."""
    if dtype == "string":
        encoded = [text.encode() for text in answer.ravel().tolist()]
        return b"".join([_LENGTH.pack(len(text)) + text for text in encoded])
    if dtype == "bfloat16":
        answer = to_bits(answer)
    return answer.astype(answer.dtype.newbyteorder("<"), copy=False).tobytes()


def raw_shape(specs: Sequence[TensorSpec], length: int) -> list[int]:
    """The shape of a body that is one tensor and nothing else: one row, or as many as its only open size allows."""
    if len(specs) != 1 or specs[0].dtype == "string":
        raise Refusal(
            400, "a body without JSON fits a model with one numeric input; say Inference-Header-Content-Length"
        )
    (spec,) = specs
    shape = list(spec.shape)
    if len(spec.named_dimensions) > 1 and isinstance(shape[0], str):
        shape[0] = 1
    size = 2 if spec.dtype == "bfloat16" else np.dtype(array_dtype(spec.dtype)).itemsize
    count = length // size
    known = int(np.prod([one for one in shape if isinstance(one, int)], dtype=object))
    opened = [axis for axis, one in enumerate(shape) if isinstance(one, str)]
    if len(opened) == 1 and known and count % known == 0:
        shape[opened[0]] = count // known
    elif opened:
        raise Refusal(400, f"{length} bytes do not say the shape of {spec}; send the JSON with it")
    return [one for one in shape if isinstance(one, int)]

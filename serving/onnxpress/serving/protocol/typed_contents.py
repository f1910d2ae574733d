"""The values of a tensor in gRPC's typed contents, read and written: InferTensorContents of the V2 protocol."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadModel
from onnxpress.core.onnx_graph import wire
from onnxpress.core.tensors import TensorSpec
from onnxpress.serving.protocol.datatypes import DATATYPE_OF
from onnxpress.serving.protocol.protobuf import field
from onnxpress.serving.protocol.refusal import Refusal

_FIELD_OF = {
    "bool": 1, "int8": 2, "int16": 2, "int32": 2, "int64": 3, "uint8": 4, "uint16": 4, "uint32": 4, "uint64": 5,
    "float32": 6, "float64": 7, "string": 8,
}  # fmt: skip
"""dtype → the number of the field that holds such values; half floats have none"""
_NAME_OF = {
    1: "bool_contents", 2: "int_contents", 3: "int64_contents", 4: "uint_contents", 5: "uint64_contents",
    6: "fp32_contents", 7: "fp64_contents", 8: "bytes_contents",
}  # fmt: skip
_LONGEST = 10
"""bytes of a varint"""
_PIECES = 1024
"""fields of numbers in one tensor of few, which are mostly one"""


def has_field(dtype: str) -> bool:
    """Whether typed contents can hold such a tensor."""
    return dtype in _FIELD_OF


def from_contents(spec: TensorSpec, count: int, contents: memoryview) -> Array:
    """`count` values, flat. Raises Refusal."""
    wanted = _FIELD_OF.get(spec.dtype)
    if wanted is None:
        raise Refusal(400, f"the input {spec.name!r} is {DATATYPE_OF[spec.dtype]}: send it in raw_input_contents")
    data = bytes(contents)
    try:
        if spec.dtype == "string":
            values = np.array(_texts(spec, count, data), object)
        else:
            values = _numbers(spec, count, data, wanted)
    except (BadModel, IndexError, ValueError):
        raise Refusal(400, f"the contents of {spec.name!r} are cut off, or are no {_NAME_OF[wanted]}") from None
    if len(values) != count:
        raise Refusal(400, f"the input {spec.name!r} has {len(values)} values in {_NAME_OF[wanted]}, and wants {count}")
    return values


def _texts(spec: TensorSpec, count: int, data: bytes) -> list[str]:
    found: list[str] = []
    for key, start, stop in wire.fields(data, 0, len(data)):
        _check(spec, key >> 3, 8)
        if key & 7 != wire.BYTES or len(found) >= count:
            raise ValueError
        try:
            found.append(data[start:stop].decode())
        except UnicodeDecodeError:
            raise Refusal(400, f"value {len(found)} of {spec.name!r} is not UTF-8, and strings are") from None
    return found


def _check(spec: TensorSpec, number: int, wanted: int) -> None:
    if number != wanted:
        has = _NAME_OF.get(number, f"field {number}")
        raise Refusal(400, f"the input {spec.name!r} has {has}; {DATATYPE_OF[spec.dtype]} goes into {_NAME_OF[wanted]}")


def _numbers(spec: TensorSpec, count: int, data: bytes, wanted: int) -> Array:
    width = 4 if wanted == 6 else 8
    # An array for each of those that come one by one would be sixty times as large as they are.
    floats, numbers = bytearray(), array("Q")
    for pieces, (key, start, stop) in enumerate(wire.fields(data, 0, len(data))):
        _check(spec, key >> 3, wanted)
        kind = key & 7
        if pieces > max(count, _PIECES):
            raise ValueError
        if wanted >= 6:
            if kind not in (wire.BYTES, wire.FIXED32 if wanted == 6 else wire.FIXED64) or (stop - start) % width:
                raise ValueError
            floats += data[start:stop]
        elif kind == wire.VARINT:
            numbers.append(start)
        elif kind == wire.BYTES:
            numbers.frombytes(varints(np.frombuffer(data, np.uint8, stop - start, start)).tobytes())
        else:
            raise ValueError
    if wanted >= 6:
        return np.frombuffer(floats, f"<f{width}")
    return _as(spec, np.frombuffer(numbers, np.uint64))


def _as(spec: TensorSpec, numbers: Array) -> Array:
    """Varints as their dtype. Raises Refusal for one that is out of its range."""
    if spec.dtype == "bool":
        return numbers != 0
    dtype = np.dtype(spec.dtype)
    whole = numbers if dtype.kind == "u" else numbers.view(np.int64)
    if dtype.kind in "iu" and len(whole):
        limits = np.iinfo(dtype)
        if int(whole.min()) < limits.min or int(whole.max()) > limits.max:
            raise Refusal(400, f"the data of {spec.name!r} do not fit {DATATYPE_OF[spec.dtype]}")
    return whole.astype(dtype)


def varints(data: Array) -> Array:
    """Numbers, one after the other in uint8, as uint64. Raises ValueError where the last is cut off, or one too long.

    >>> varints(np.array([1, 0xAC, 2], np.uint8)).tolist()
    [1, 300]
    """
    ends = np.flatnonzero(data < 0x80)
    if len(data) and (not len(ends) or ends[-1] != len(data) - 1):
        raise ValueError("cut off")
    starts = np.concatenate(([0], ends[:-1] + 1)) if len(ends) else ends
    lengths = ends - starts + 1
    longest = int(lengths.max()) if len(lengths) else 0
    if longest > _LONGEST:
        raise ValueError("a number has more than ten bytes")
    numbers = np.zeros(len(ends), np.uint64)
    for place in range(longest):
        there = lengths > place
        numbers[there] |= (data[starts[there] + place] & np.uint8(0x7F)).astype(np.uint64) << np.uint64(7 * place)
    return numbers


def to_contents(dtype: str, answer: Array) -> bytes:
    """The values of an array of such a dtype as InferTensorContents."""
    number = _FIELD_OF[dtype]
    if dtype == "string":
        return b"".join([field(number, text.encode()) for text in answer.ravel().tolist()])
    if number >= 6:
        packed = answer.astype(answer.dtype.newbyteorder("<"), copy=False).tobytes()
    else:
        packed = to_varints(answer.ravel())
    return field(number, packed) if packed else b""


def to_varints(numbers: Array) -> bytes:
    """Whole numbers, one after the other; negative ones in ten bytes.

    >>> to_varints(np.array([1, 300])).hex()
    '01ac02'
    """
    signed: Any = numbers.astype(np.int64) if numbers.dtype.kind == "i" else numbers.astype(np.uint64)
    left = signed.view(np.uint64)
    table = np.empty((len(left), _LONGEST), np.uint8)
    lengths = np.ones(len(left), np.int64)
    for place in range(_LONGEST):
        table[:, place] = (left & np.uint64(0x7F)).astype(np.uint8)
        left = left >> np.uint64(7)
        lengths += left != 0
    places = np.arange(_LONGEST)
    table[places[None, :] < lengths[:, None] - 1] |= 0x80
    return table[places[None, :] < lengths[:, None]].tobytes()

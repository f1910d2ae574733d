"""TensorFlow's TensorProto, read as an array that a model's input takes, and written as TensorFlow Serving answers.

Values stand in `tensor_content`, as they lie in memory, or in the field of their kind. Fewer values than the shape has
are TensorFlow's own short form: the last one is repeated, and none at all are zeros.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from typing import Final

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadModel
from onnxpress.core.onnx_graph import wire
from onnxpress.core.tensors import TensorSpec
from onnxpress.serving.engine.bfloat16 import from_bits, to_bits
from onnxpress.serving.engine.dtypes import array_dtype
from onnxpress.serving.protocol.protobuf import field, varint
from onnxpress.serving.protocol.refusal import Refusal, shown
from onnxpress.serving.protocol.shapes import check_shape
from onnxpress.serving.protocol.typed_contents import to_varints, varints

NUMBER_OF: Final = {
    "float32": 1, "float64": 2, "int32": 3, "uint8": 4, "int16": 5, "int8": 6, "string": 7, "int64": 9, "bool": 10,
    "bfloat16": 14, "uint16": 17, "float16": 19, "uint32": 22, "uint64": 23,
}  # fmt: skip
"""dtype → its number in TensorFlow's DataType"""
_NAME_OF: Final = {number: name for name, number in NUMBER_OF.items()}
_FIELD_OF: Final = {
    "float32": 5, "float64": 6, "int32": 7, "uint8": 7, "int16": 7, "int8": 7, "uint16": 7, "string": 8, "int64": 10,
    "bool": 11, "bfloat16": 13, "float16": 13, "uint32": 16, "uint64": 17,
}  # fmt: skip
"""dtype → the field of its values"""
_DTYPE, _SHAPE, _CONTENT = 1, 2, 4
_HALVES: Final = frozenset({"float16", "bfloat16"})
_RANK: Final = 64
_PIECES: Final = 1024
"""fields of values in one tensor of few, and of others; see `_read`"""
_UNSHAPED: Final = 1 << 20
"""fields of values that may stand before the shape, which every writer puts first"""


def read(spec: TensorSpec, data: bytes, start: int, stop: int, sizes: dict[str, int]) -> Array:
    """The tensor in `data[start:stop]`, of its shape. Raises Refusal; `sizes`: see `check_shape`."""
    try:
        return _read(spec, data, start, stop, sizes)
    except (BadModel, IndexError, ValueError):
        raise Refusal(400, f"the tensor of the input {spec.name!r} is no TensorProto, or is cut off") from None


def _read(spec: TensorSpec, data: bytes, start: int, stop: int, sizes: dict[str, int]) -> Array:
    dtype, shape = 0, list[int]()
    content: tuple[int, int] | None = None
    wanted = _FIELD_OF[spec.dtype]
    # One field of values for each of them at most: a message must not cost much more than what it says.
    pieces, most, other, others = 0, _UNSHAPED, 0, 0
    for key, at, end in wire.fields(data, start, stop):
        number = key >> 3
        if number == wanted:
            pieces += 1
            if pieces > most:
                raise ValueError
            continue
        others += 1
        if others > _PIECES:
            raise ValueError
        if key == _DTYPE << 3:
            dtype = at
        elif key == _SHAPE << 3 | wire.BYTES:
            shape = _shape(spec, data, at, end)
            most = max(_PIECES, min(math.prod(shape), stop - start))
        elif key == _CONTENT << 3 | wire.BYTES:
            content = (at, end) if end > at else None
        elif number >= 5:
            other = number
    if dtype != NUMBER_OF[spec.dtype]:
        said = _NAME_OF.get(dtype, f"DataType {dtype}")
        raise Refusal(400, f"the input {spec.name!r} has dtype {said}; it must be {spec.dtype}")
    check_shape(spec, shape, sizes, max(stop - start, _repeated(shape, content)))
    if other and not pieces and content is None:
        raise Refusal(400, f"the input {spec.name!r} has its values in field {other}; {spec.dtype} goes into {wanted}")
    count = math.prod(shape)
    if content is not None:
        values = _content(spec, data, content[0], content[1])
        if len(values) != count:
            raise Refusal(
                400, f"the input {spec.name!r} has {len(values)} values; its shape {shown(shape)} wants {count}"
            )
        return values.reshape(shape)
    places = ((key & 7, at, end) for key, at, end in wire.fields(data, start, stop) if key >> 3 == wanted)
    values = _texts(spec, data, places) if spec.dtype == "string" else _numbers(spec, data, places)
    if len(values) > count:
        raise Refusal(400, f"the input {spec.name!r} has {len(values)} values; its shape {shown(shape)} wants {count}")
    if len(values) < count:
        last = values[-1] if len(values) else ("" if spec.dtype == "string" else 0)
        full = np.full(count, last, values.dtype)
        full[: len(values)] = values
        values = full
    return values.reshape(shape)


_SHORT: Final = 4096
"""values that a short form may stand for, whatever it is written in: what a message of a few bytes may ask for"""


def _repeated(shape: list[int], content: tuple[int, int] | None) -> int:
    """How many bytes a tensor counts as that says its values in short."""
    return _SHORT if content is None and 0 < math.prod(shape) <= _SHORT else 0


def _shape(spec: TensorSpec, data: bytes, at: int, end: int) -> list[int]:
    found: list[int] = []
    left = _PIECES
    for key, start, stop in wire.fields(data, at, end):
        left -= 1
        if key == 2 << 3 | wire.BYTES:
            size = 0
            for inner, value, _ in wire.fields(data, start, stop):
                left -= 1
                if inner == 1 << 3:
                    size = wire.signed(value)
                if left < 0:
                    raise ValueError
            found.append(size)
        elif key == 3 << 3 and start:
            raise Refusal(400, f"the input {spec.name!r} has a shape of unknown rank")
        if len(found) > _RANK or left < 0:
            raise ValueError
    return found


def _content(spec: TensorSpec, data: bytes, at: int, end: int) -> Array:
    if spec.dtype == "string":
        raise Refusal(400, f"the input {spec.name!r} is of strings, which go into string_val")
    width = {"bfloat16": "uint16", "bool": "uint8"}.get(spec.dtype, spec.dtype)
    values: Array = np.frombuffer(data[at:end], np.dtype(width).newbyteorder("<"))
    if spec.dtype == "bfloat16":
        return from_bits(values)
    if spec.dtype == "bool":
        return values != 0
    return values.astype(array_dtype(spec.dtype), copy=False)


def _texts(spec: TensorSpec, data: bytes, places: Iterator[tuple[int, int, int]]) -> Array:
    found: list[str] = []
    for kind, at, end in places:
        if kind != wire.BYTES:
            raise ValueError
        try:
            found.append(data[at:end].decode())
        except UnicodeDecodeError:
            raise Refusal(400, f"value {len(found)} of {spec.name!r} is not UTF-8, and strings are") from None
    return np.array(found, object)


def _numbers(spec: TensorSpec, data: bytes, places: Iterator[tuple[int, int, int]]) -> Array:
    """The numbers of all fields of the kind, packed or one by one."""
    if spec.dtype in ("float32", "float64"):
        return _floats(spec, data, places)
    found = array("Q")
    for kind, at, end in places:
        if kind == wire.BYTES:
            found.frombytes(varints(np.frombuffer(data, np.uint8, end - at, at)).tobytes())
        elif kind == wire.VARINT:
            found.append(at)
        else:
            raise ValueError
    numbers: Array = np.frombuffer(found, np.uint64)
    if spec.dtype in _HALVES:
        if len(numbers) and int(numbers.max()) > 0xFFFF:
            raise Refusal(400, f"the half_val of {spec.name!r} have more than 16 bits")
        bits = numbers.astype(np.uint16)
        return from_bits(bits) if spec.dtype == "bfloat16" else bits.view(np.float16)
    if spec.dtype == "bool":
        return numbers != 0
    dtype = np.dtype(spec.dtype)
    # uint8 and uint16 stand in a field of int32.
    whole = numbers if spec.dtype in ("uint32", "uint64") else numbers.view(np.int64)
    limits = np.iinfo(dtype)
    if len(whole) and (int(whole.min()) < limits.min or int(whole.max()) > limits.max):
        raise Refusal(400, f"the data of {spec.name!r} do not fit {spec.dtype}")
    return whole.astype(dtype)


def _floats(spec: TensorSpec, data: bytes, places: Iterator[tuple[int, int, int]]) -> Array:
    letter, one = ("<f4", wire.FIXED32) if spec.dtype == "float32" else ("<f8", wire.FIXED64)
    width = np.dtype(letter).itemsize
    found = bytearray()
    for kind, at, end in places:
        if kind not in (wire.BYTES, one) or (end - at) % width:
            raise ValueError
        found += data[at:end]
    return np.frombuffer(found, letter).astype(array_dtype(spec.dtype), copy=False)


def written(dtype: str, answer: Array) -> bytes:
    """An array of such a dtype, its values in the field of their kind, as TensorFlow Serving answers."""
    head = b"\x08" + varint(NUMBER_OF[dtype]) + field(_SHAPE, dims(answer.shape))
    number = _FIELD_OF[dtype]
    if dtype == "string":
        return head + b"".join([field(number, text.encode()) for text in answer.ravel().tolist()])
    flat = answer.ravel()
    if dtype in ("float32", "float64"):
        packed = flat.astype("<f4" if dtype == "float32" else "<f8", copy=False).tobytes()
    elif dtype in _HALVES:
        packed = to_varints(to_bits(flat) if dtype == "bfloat16" else flat.view(np.uint16))
    else:
        packed = to_varints(flat)
    return head + field(number, packed) if packed else head


def dims(shape: tuple[int, ...]) -> bytes:
    """A TensorShapeProto, with -1 for an open size."""
    return b"".join([field(2, b"\x08" + varint(size) if size else b"") for size in shape])

"""The data of one tensor in a request: nested lists made flat, what is wrong said exactly."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import chain
from typing import Any

import msgspec
import numpy as np

from onnxpress.core import decoders
from onnxpress.core.tensors import FLOATS, TensorSpec
from onnxpress.serving.protocol.datatypes import DATATYPE_OF
from onnxpress.serving.protocol.literals import levelled, marked
from onnxpress.serving.protocol.refusal import Refusal, shown

NOT_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError)
"""what msgspec raises on bytes that are not JSON, not UTF-8, nested too deep, or hold an integer of 5,000 digits"""
NUMERALS = b"0123456789+-.eE \t\r\n"
"""what numbers in JSON are made of, and the blanks between them"""
NO_BRACKETS = bytes.maketrans(b"[]", b"  ")


def decoded(text: bytes, kind: Any = Any) -> Any:
    """JSON as `kind`, or what is JSON but for the words of `literals`. Raises NOT_JSON.

    >>> decoded(b"[1, NaN]")
    [1, {'number that JSON has not': 'nan'}]
    """
    try:
        return decoders.of_json(kind).decode(text)
    except NOT_JSON:
        again = marked(text)
        if again is None:
            raise
        return decoders.of_json(kind).decode(again)


def cut_out(text: bytes, kind: Any) -> Any:
    """As `decoded`, for a struct or dict whose values stay text (`msgspec.Raw`): each as it came. Raises NOT_JSON.

    An object for each word of a large text would be ten times the text.

    >>> bytes(cut_out(b'{"x": [NaN]}', dict[str, msgspec.Raw])["x"])
    b'[NaN]'
    """
    try:
        return decoders.of_json(kind).decode(text)
    except NOT_JSON:
        level = levelled(text)
        if level is None:
            raise
    found, first = decoders.of_json(kind).decode(level), _address(level)
    names = found if isinstance(found, dict) else found.__struct_fields__
    for name in names:
        value = found[name] if isinstance(found, dict) else getattr(found, name)
        if isinstance(value, msgspec.Raw):
            start = _address(value) - first
            as_it_came = msgspec.Raw(text[start : start + memoryview(value).nbytes])
            if isinstance(found, dict):
                found[name] = as_it_came
            else:
                setattr(found, name, as_it_came)
    return found


def _address(text: Any) -> int:
    address: int = np.frombuffer(text, np.uint8).ctypes.data
    return address


def unnested(spec: TensorSpec, text: msgspec.Raw, shape: list[int]) -> bytes:
    """Nested numbers as a flat list, both JSON. Raises ValueError where brackets and commas are not as the shape says.

    `shape` has the spec's number of axes, none of them negative; no more is done than the length of the text allows.
    What JSON has between them, and whether it is numbers, remains to be seen.
    """
    if spec.dtype in ("string", "bool") or len(shape) < 2 or not math.prod(shape):
        raise ValueError("only numbers are told from brackets and commas without looking at them")
    # Before anything is made as long as the shape says: the text must be long enough to hold it.
    length = shape[-1] - 1
    for size in reversed(shape[:-1]):
        length = size * (length + 2) + size - 1
    nested = bytes(text)
    if length + math.prod(shape) + 2 > len(nested):
        raise ValueError("the text is shorter than the shape says")
    skeleton = b"," * (shape[-1] - 1)
    for size in reversed(shape[:-1]):
        skeleton = b",".join([b"[%b]" % skeleton] * size)
    if nested.translate(None, NUMERALS) != b"[%b]" % skeleton:
        raise ValueError("the brackets and commas are not as the shape says")
    # Blanks in their place: without them 1]2 would become 12.
    return b"[%b]" % nested.translate(NO_BRACKETS)


def flat_carefully(spec: TensorSpec, text: msgspec.Raw, shape: list[int]) -> list[Any]:
    """Data that are no flat list of the declared kind: nested as the shape says, null for NaN, 0 and 1 for BOOL."""
    try:
        data = msgspec.json.decode(text)
    except NOT_JSON as error:
        raise Refusal(400, f"the data of {spec.name!r} are not JSON: {error}") from None
    if not isinstance(data, list):
        raise Refusal(400, f"the data of {spec.name!r} must be an array, not {shown(data)}")
    return flat_of(spec, data, shape)


def flat_of(spec: TensorSpec, data: list[Any], shape: list[int]) -> list[Any]:
    """What JSON held, flat; raises Refusal as `flat_carefully` does."""
    flat = _flatten(spec, data, shape)
    fits = _check(spec.dtype)
    for value in flat:
        if not fits(value):
            raise Refusal(400, f"the data of {spec.name!r} hold {shown(value)}, which is no {DATATYPE_OF[spec.dtype]}")
    if spec.dtype in FLOATS:
        try:
            return [None if value is None else float(value) for value in flat]
        except OverflowError as error:
            raise Refusal(400, f"the data of {spec.name!r} do not fit {DATATYPE_OF[spec.dtype]}: {error}") from None
    return flat


def _flatten(spec: TensorSpec, data: list[Any], shape: list[int]) -> list[Any]:
    if not any(isinstance(item, list) for item in data):
        return data
    flat = data
    for axis, size in enumerate(shape):
        if axis:
            if not all(isinstance(item, list) for item in flat):
                break
            if any(len(item) != size for item in flat):
                break
            flat = list(chain.from_iterable(flat))
        elif len(flat) != size:
            break
    else:
        if not any(isinstance(item, list) for item in flat):
            return flat
    raise Refusal(400, f"the nested data of {spec.name!r} do not have the shape {shape}")


def _check(dtype: str) -> Callable[[Any], bool]:
    if dtype in FLOATS:
        return lambda value: value is None or (isinstance(value, int | float) and not isinstance(value, bool))
    if dtype == "string":
        return lambda value: isinstance(value, str)
    if dtype == "bool":
        return lambda value: isinstance(value, bool) or (isinstance(value, int) and value in (0, 1))
    return lambda value: isinstance(value, int) and not isinstance(value, bool)


def value_type(dtype: str) -> type:
    """The Python type that a value of the dtype has in JSON."""
    if dtype in FLOATS:
        return float
    return {"string": str, "bool": bool}.get(dtype, int)

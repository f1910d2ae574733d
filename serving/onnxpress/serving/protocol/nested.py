"""Nested lists as arrays of a declared dtype: the shape is told by the nesting, and no value becomes another.

Integers are exact up to the ends of their dtype; true is no number, 1.5 no integer, 1 no bool and nothing but a string
is a string.
"""

from __future__ import annotations

import base64
import binascii
import math
from itertools import chain
from typing import Any

import numpy as np

from onnxpress.core import special_values
from onnxpress.core.arrays import Array
from onnxpress.core.tensors import FLOATS, TensorSpec
from onnxpress.serving.engine.dtypes import array_dtype
from onnxpress.serving.protocol import literals
from onnxpress.serving.protocol.refusal import shown

_TYPES: dict[str, set[Any]] = {"bool": {bool}, "string": {str}}


def array_of(spec: TensorSpec, data: Any, *, null: bool = False) -> Array:
    """The array of what JSON held; a number or a string is a tensor without axes. Raises ValueError.

    A string may be `{"b64": ...}`. With `null`, None is NaN in a float tensor. In one of strings None is the empty
    text, and so is the word NaN, which pandas writes there.
    """
    flat, shape = _flat(spec, data)
    flat = _values(spec, flat, null=null)
    try:
        with np.errstate(over="raise"):
            array: Array = np.asarray(flat, array_dtype(spec.dtype)).reshape(shape)
    except (OverflowError, FloatingPointError):
        raise ValueError(f"the values of {spec.name!r} make no {spec.dtype} tensor: one is beyond its range") from None
    if spec.refuses and (what := special_values.refused(spec, array)):
        raise ValueError(what)
    return array


def _flat(spec: TensorSpec, data: Any) -> tuple[list[Any], list[int]]:
    """The values in order, and how they are nested."""
    level, shape = [data], list[int]()
    while level and (kinds := set(map(type, level))) >= {list}:
        lengths = set(map(len, level)) if len(kinds) == 1 else set()
        if len(lengths) != 1:
            raise ValueError(f"the values of {spec.name!r} make no {spec.dtype} tensor: its lists differ in length")
        if len(shape) == len(spec.shape):
            raise ValueError(f"the values of {spec.name!r} have more axes than {spec}")
        shape.append(lengths.pop())
        level = list(chain.from_iterable(level))
    return level, shape


def _values(spec: TensorSpec, flat: list[Any], *, null: bool) -> list[Any]:
    """The values, each of a type that the dtype has in JSON."""
    wanted: set[Any] = {int, float} if spec.dtype in FLOATS else _TYPES.get(spec.dtype, {int})
    if set(map(type, flat)) <= wanted:
        return flat
    if spec.dtype == "string":
        flat = [_text(spec, value, null) for value in flat]
    elif spec.dtype in FLOATS:
        flat = [_float(value, null) for value in flat]
    for value in flat:
        if type(value) not in wanted:
            odd = shown(literals.shown(value))
            kind = "strings" if spec.dtype == "string" else spec.dtype
            raise ValueError(f"the values of {spec.name!r} are no {kind}: {odd} is among them")
    return flat


def _float(value: Any, null: bool) -> Any:
    if value is None:
        return float("nan") if null else None
    found = literals.number(value) if type(value) is dict else None
    return value if found is None else found


def _text(spec: TensorSpec, value: Any, null: bool) -> Any:
    if null and value is None:
        return ""
    if type(value) is not dict:
        return value
    found = literals.number(value)
    if null and found is not None and math.isnan(found):
        return ""
    if value.keys() != {"b64"}:
        return value
    try:
        return base64.b64decode(value["b64"], validate=True).decode()
    except (binascii.Error, TypeError, ValueError):
        raise ValueError(f"a b64 of {spec.name!r} is not base64 of UTF-8") from None

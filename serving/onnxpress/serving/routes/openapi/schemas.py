"""JSON Schemas of a model's tensors, as each protocol writes them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from onnxpress.core.tensors import FLOATS, Dimension, TensorSpec
from onnxpress.serving.protocol.datatypes import DATATYPE_OF

Schema = dict[str, Any]

_FORMATS = {"int32": "int32", "int64": "int64", "float32": "float", "float64": "double"}
"""those of OpenAPI's registry"""
CLASSES: Schema = {
    "type": "object",
    "description": "The best classes of an output, as `score:index:label`: what `classification` asks for.",
    "required": ["name", "datatype", "shape", "data"],
    "properties": {
        "name": {"type": "string"},
        "datatype": {"const": "BYTES"},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
        "data": {"type": "array", "items": {"type": "string"}},
    },
}


def value_in(spec: TensorSpec, *, null: bool) -> Schema:
    """One value of an input. With `null`, null is NaN among floats, unless the model refuses that."""
    schema = _plain(spec.dtype, null=null and "nan" not in spec.refuses)
    domain = spec.domain
    if domain is None:
        return schema
    if not domain.enforced:
        return {**schema, "description": f"The model was measured with values of {domain}."}
    if domain.values is not None:
        return {**schema, "enum": [value if spec.dtype == "string" else int(value) for value in domain.values]}
    if domain.low is not None:
        schema["minimum"] = max(schema.get("minimum", domain.low), domain.low)
    if domain.high is not None:
        schema["maximum"] = min(schema.get("maximum", domain.high), domain.high)
    return schema


def value_out(spec: TensorSpec) -> Schema:
    """One value of an output; null is what is no number."""
    return _plain(spec.dtype, null=True)


def _plain(dtype: str, *, null: bool) -> Schema:
    if dtype in ("bool", "string"):
        return {"type": "boolean" if dtype == "bool" else "string"}
    schema: Schema
    if dtype in FLOATS:
        schema = {"type": ["number", "null"] if null else "number"}
    else:
        bits, unsigned = int(dtype.lstrip("uint")), dtype.startswith("u")
        low, high = (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        schema = {"type": "integer", "minimum": low, "maximum": high}
    if dtype in _FORMATS:
        schema["format"] = _FORMATS[dtype]
    return schema


def nested(value: Schema, shape: Sequence[Dimension]) -> Schema:
    """Lists in lists, of so many values as the sizes say that are fixed."""
    for size in reversed(shape):
        value = {"type": "array", "items": value, **_count(size)}
    return value


def instance(value: Schema, shape: Sequence[Dimension]) -> Schema:
    """A row of such a shape in TensorFlow Serving's forms, where a row of one value may be the value alone."""
    row = nested(value, shape[1:])
    return {"anyOf": [value, row]} if len(shape) == 2 and shape[1] == 1 else row


def instances(value: Schema, shape: Sequence[Dimension]) -> Schema:
    """All rows of such a tensor there."""
    whole = nested(value, shape)
    return {"anyOf": [nested(value, shape[:1]), whole]} if len(shape) == 2 and shape[1] == 1 else whole


def opened(properties: dict[str, Schema], *required: str) -> Schema:
    """An object of these, and perhaps of more."""
    return {"type": "object", "required": list(required), "properties": properties}


def closed(properties: dict[str, Schema], *required: str) -> Schema:
    """An object of these and nothing else: all of them, unless it is said which."""
    return {**opened(properties, *(required or properties)), "additionalProperties": False}


def _count(size: Dimension) -> Schema:
    return {"minItems": size, "maxItems": size} if isinstance(size, int) else {}


def tensor(spec: TensorSpec, value: Schema, labels: Sequence[str] = ()) -> Schema:
    """A tensor of V2: its name, its datatype, its shape, and its values in order, without nesting.

    >>> spec = TensorSpec(name="x", dtype="bool", shape=("n", 2))
    >>> tensor(spec, {"type": "boolean"})["properties"]["shape"]["prefixItems"]
    [{'type': 'integer', 'minimum': 0, 'title': 'n'}, {'type': 'integer', 'minimum': 2, 'maximum': 2}]
    """
    sizes: list[Schema] = [  # no `const`: generated clients take one among numbers for a value of its own
        {"type": "integer", "minimum": size, "maximum": size}
        if isinstance(size, int)
        else {"type": "integer", "minimum": 0, "title": size}
        for size in spec.shape
    ]
    shape: Schema = {"type": "array", "minItems": len(sizes), "maxItems": len(sizes), "items": {"type": "integer"}}
    if sizes:
        shape["prefixItems"] = sizes
    fixed = [size for size in spec.shape if isinstance(size, int)]
    data: Schema = {"type": "array", "items": value}
    if len(fixed) == len(spec.shape):
        data |= _count(math.prod(fixed))
    found: Schema = {
        "type": "object",
        "description": f"`{spec}`",
        "required": ["name", "shape", "datatype", "data"],
        "properties": {
            "name": {"const": spec.name},
            "shape": shape,
            "datatype": {"const": DATATYPE_OF[spec.dtype]},
            "data": data,
            "parameters": {"type": "object"},
        },
    }
    if labels:
        found["x-labels"] = list(labels)
    return found


def one_of(schemas: Sequence[Schema]) -> Schema:
    """The one, or any of several that the name tells apart."""
    return schemas[0] if len(schemas) == 1 else {"anyOf": list(schemas)}


def column_in(spec: TensorSpec) -> Schema:
    """A row's value of one input, where rows are objects of columns."""
    schema = nested(value_in(spec, null=True), spec.shape[1:])
    if spec.shape[1:] == (1,):
        return {"anyOf": [value_in(spec, null=True), schema]}
    if spec.dtype == "string" and len(spec.shape) == 1:
        return {**schema, "type": ["string", "null"]} if "enum" not in schema else schema
    return schema


def column_out(spec: TensorSpec, labels: Sequence[str]) -> Schema:
    """A row's value of one output there: a label for a number, and an object where there is a number for each label."""
    value = value_out(spec)
    plain = nested(value, spec.shape[1:])
    if not labels:
        return plain
    if len(spec.shape) == 1 and spec.dtype not in FLOATS and spec.dtype not in ("bool", "string"):
        return {"anyOf": [{"enum": list(labels)}, plain]}
    if len(spec.shape) == 2 and spec.shape[1] in (
        len(labels),
        *(one for one in spec.shape[1:] if isinstance(one, str)),
    ):
        properties = dict.fromkeys(labels, value)
        return {"anyOf": [{"type": "object", "properties": properties, "required": list(properties)}, plain]}
    return plain

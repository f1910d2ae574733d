"""What a caller hands over, as the arrays that a model takes: by name or alone, lists or arrays, no value changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from onnxpress.core import domains
from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData
from onnxpress.core.tensors import FLOATS, TensorSpec, bind_dimensions
from onnxpress.serving.engine.dtypes import array_dtype


def as_arrays(
    specs: Sequence[TensorSpec], given: object, *, where: str, optional: Sequence[TensorSpec] = ()
) -> dict[str, Array]:
    """Input name → array of the dtype and rank that `specs` say; `given` is a mapping, or the one input's value.

    Lists become arrays. A wider float is rounded, and any other dtype taken where every value stays what it is. Strings
    are `str`, bfloat16 is held as float32. Raises BadData, with the input's name, for what does not fit.
    """
    if not isinstance(given, Mapping):
        if len(specs) != 1:
            raise BadData(f"the model takes {_listed(specs)}; hand them over by name", where=where)
        given = {specs[0].name: given}
    known = {spec.name for spec in (*specs, *optional)}
    specs = [*specs, *(spec for spec in optional if spec.name in given)]
    for name in given:
        if name not in known:
            raise BadData(f"there is no input {name!r}; the model takes {_listed(specs)}", where=where)
    found = {}
    for spec in specs:
        if spec.name not in given:
            raise BadData(f"the input {spec} is missing", where=where)
        found[spec.name] = _array(spec, given[spec.name], where)
        if what := domains.refused(spec, found[spec.name]):
            raise BadData(what, where=where)
    try:
        bind_dimensions(specs, [value.shape for value in found.values()])
    except ValueError as error:
        raise BadData(str(error), where=where) from None
    return found


def _listed(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(map(str, specs))


def _array(spec: TensorSpec, given: Any, where: str) -> Array:
    try:
        value = np.asarray(given)
        if value.dtype == object and spec.dtype != "string":
            value = np.asarray(value.tolist())  # a table's column of numbers, say
    except (ValueError, TypeError) as error:
        raise BadData(f"the values of {spec.name!r} are no array: {error}", where=where) from None
    if spec.dtype == "string":
        return _strings(spec, value, where)
    dtype = np.dtype(array_dtype(spec.dtype))
    if value.dtype == dtype:
        return value
    if value.dtype == object:
        odd = next((one for one in value.flat if not isinstance(one, int | float)), value.flat[0])
        raise _unfit(spec, f"{odd!r} is among them", where)
    if value.dtype.kind not in "biuf" and value.dtype.name != "bfloat16":
        raise _unfit(spec, f"they are {value.dtype}", where)
    # What overflows is told by what it has become.
    with np.errstate(over="ignore", invalid="ignore"):
        cast = value.astype(dtype)
        rounded = spec.dtype in FLOATS and value.dtype.kind in "fV"
        changed = np.isinf(cast) & np.isfinite(value) if rounded else _differ(value, cast)
    if changed.any():
        raise _unfit(spec, f"{value[changed].flat[0]!s} would become {cast[changed].flat[0]!s}", where)
    return cast


def _differ(value: Array, cast: Array) -> Array:
    """Where a value is not what it was: there and back again, and with the sign that it had."""
    different: Array = (cast.astype(value.dtype) != value) | ((cast < 0) != (value < 0))
    return different


def _strings(spec: TensorSpec, value: Array, where: str) -> Array:
    if value.dtype.kind in "UT":
        return value.astype(object)
    if value.dtype != object:
        raise _unfit(spec, f"they are {value.dtype}", where)
    for one in value.flat:
        if not isinstance(one, str):
            raise _unfit(spec, f"{one!r} is {type(one).__name__}", where)
    return value


def _unfit(spec: TensorSpec, why: str, where: str) -> BadData:
    return BadData(f"the values of {spec.name!r} are no {spec.dtype}: {why}", where=where)

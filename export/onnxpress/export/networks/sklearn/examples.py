"""The author's example rows, in whatever form they were given, as arrays by the names of the inputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import UsageError


def named_examples(given: Any, columns: list[str], alone: str, reference: str) -> dict[str, Array]:
    """An array, frame, series, list, dict of arrays, or a tuple around one of them; empty where nothing is given.

    `columns` are sent one by one, each (rows, 1); without them everything is one input, called `alone`. Dtypes are the
    author's: float64, float32, int64 and strings; other whole numbers become int64, booleans too. Raises UsageError
    for a form that holds no rows.
    """
    if given is None:
        return {}
    if (
        isinstance(given, tuple | list)
        and len(given) == 1
        and not isinstance(given[0], str | int | float | list | tuple)
    ):
        given = given[0]
    if isinstance(given, dict):
        named = dict(given)
    elif columns:
        named = _by_column(given, columns, reference)
    else:
        named = {alone: given}
    return {str(name): _array(value, reference, column=bool(columns)) for name, value in named.items()}


def _by_column(given: Any, columns: list[str], reference: str) -> dict[str, Any]:
    if hasattr(given, "columns"):  # a pandas frame, without importing pandas
        absent = [name for name in columns if name not in given.columns]
        if absent:
            raise UsageError(
                f"the examples have no column {absent[0]!r}, on which the pipeline was fitted", where=reference
            )
        return {name: given[name] for name in columns}
    raise UsageError(
        f"the examples are {type(given).__name__}; the pipeline takes named columns",
        where=reference,
        hint="return (model, frame), or a dict with one array for each column",
    )


def _array(value: Any, reference: str, *, column: bool) -> Array:
    array = np.asarray(value)
    if array.ndim == 0:
        raise UsageError(f"the example {value!r} holds no rows", where=reference, hint="give rows, the first axis")
    if column and array.ndim == 1:
        array = array.reshape(len(array), 1)
    if array.dtype.kind in "OUS":
        return _strings_or_numbers(array)
    if array.dtype.kind in "iub":
        return array.astype(np.int64)
    return array if array.dtype == np.float64 else array.astype(np.float32)


def _strings_or_numbers(array: Array) -> Array:
    """A column of objects that are all numbers, as a frame of mixed columns gives it, is numbers."""
    values = array.ravel().tolist()
    if array.dtype.kind == "O" and all(isinstance(value, int | float) for value in values):
        whole = all(isinstance(value, int) for value in values)
        return array.astype(np.int64 if whole else np.float64)
    return array.astype(object)

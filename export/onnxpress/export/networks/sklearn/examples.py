"""The author's example rows, in whatever form they were given, as arrays by the names of the inputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import UsageError
from onnxpress.export.networks.sklearn.missing_words import EMPTY, is_missing


def named_examples(given: Any, columns: list[str], alone: str, reference: str) -> dict[str, Array]:
    """An array, frame, series, list, dict of arrays, or a tuple around one of them; empty where nothing is given.

    Of columns also one row as a series, or rows as a list of dicts. A missing word becomes the empty string.

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
    if isinstance(given, dict) and not columns:
        named = dict(given)
    elif columns:
        named = _by_column(given, columns, reference)
    else:
        named = {alone: _rows(given, alone, reference)}
    return {str(name): _array(value, reference, column=bool(columns)) for name, value in named.items()}


def _rows(given: Any, alone: str, reference: str) -> Any:
    """The rows of the one input: texts one after another, numbers as a matrix."""
    if hasattr(given, "toarray"):  # a sparse matrix
        return given.toarray()
    if isinstance(given, tuple):
        raise UsageError(
            f"the example is a tuple of {len(given)}; the estimator takes one matrix",
            where=reference,
            hint="return (model, rows), without what they are to be predicted as",
        )
    try:
        shape = np.asarray(given).shape
    except ValueError as error:
        raise UsageError(
            f"the example is no matrix: {error}", where=reference, hint="give rows of one length"
        ) from None
    if alone != "text" and len(shape) == 1:
        raise UsageError(
            f"the example has shape {list(shape)}; the estimator takes rows",
            where=reference,
            hint=f"one row is [[...]], of shape [1, {shape[0]}]",
        )
    return given


def _by_column(given: Any, columns: list[str], reference: str) -> dict[str, Any]:
    if not hasattr(given, "columns") and hasattr(given, "to_frame"):  # a row of a pandas frame is a series
        given = given.to_frame().T
    if isinstance(given, list) and given and all(isinstance(row, dict) for row in given):
        given = {name: [row.get(name) for row in given] for name in given[0]}
    known = list(given) if isinstance(given, dict) else list(getattr(given, "columns", []))
    if not known:
        raise UsageError(
            f"the examples are {type(given).__name__}; the pipeline takes named columns",
            where=reference,
            hint="return (model, frame), or a dict with one array for each column",
        )
    absent = [name for name in columns if name not in known]
    if absent:
        raise UsageError(
            f"the examples have no column {absent[0]!r}, on which the pipeline was fitted", where=reference
        )
    return {name: given[name] for name in columns}


def _array(value: Any, reference: str, *, column: bool) -> Array:
    array = np.asarray(value.to_numpy(object) if hasattr(value, "to_numpy") and _extends(value) else value)
    if array.ndim == 0:
        raise UsageError(f"the example {value!r} holds no rows", where=reference, hint="give rows, the first axis")
    if column and array.ndim == 1:
        array = array.reshape(len(array), 1)
    if array.dtype.kind in "OUS":
        return _strings_or_numbers(array)
    if array.dtype.kind in "iub":
        return array.astype(np.int64)
    return array if array.dtype == np.float64 else array.astype(np.float32)


def _extends(value: Any) -> bool:
    """Whether it is a pandas series of a dtype of pandas' own, which numpy would take for objects of any kind."""
    return type(getattr(value, "dtype", None)).__module__.startswith("pandas.")


def _strings_or_numbers(array: Array) -> Array:
    """A column of objects that are all numbers, as a frame of mixed columns gives it, is numbers."""
    values = array.ravel().tolist()
    if array.dtype.kind == "O" and any(isinstance(value, int | float) for value in values if not is_missing(value)):
        numbers = [np.nan if is_missing(value) else value for value in values]
        if all(isinstance(value, int | float) for value in numbers):
            whole = all(isinstance(value, int) for value in numbers)
            return np.asarray(numbers, np.int64 if whole else np.float64).reshape(array.shape)
    words = [EMPTY if is_missing(value) else value for value in values]
    return np.array([*words, None], object)[:-1].reshape(array.shape)

"""Sample rows that lie in an `.npz`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData, UsageError


def read_samples(path: Path) -> dict[str, Array]:
    """Read an `.npz` of sample inputs without pickle: input name → array with the rows on its first axis."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            loaded = {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise UsageError("no such file", where=str(path)) from None
    except Exception as error:  # numpy raises many kinds for a torn or foreign file
        raise BadData(f"cannot be read as .npz: {error}", where=str(path)) from None
    return checked_samples(loaded, str(path))


def checked_samples(arrays: Mapping[str, Array], where: str) -> dict[str, Array]:
    """Input name → array, each with the same number of rows. Raises BadData where there are none, or they differ."""
    loaded = {name: _with_strings(np.asarray(array)) for name, array in arrays.items()}
    rows = {name: array.shape[0] if array.ndim else 0 for name, array in loaded.items()}
    if not rows or min(rows.values()) == 0:
        raise BadData("holds no sample rows", where=where, hint="save one array per input, rows first")
    if len(set(rows.values())) > 1:
        raise BadData(f"the inputs have different numbers of rows: {rows}", where=where)
    return loaded


def _with_strings(array: Array) -> Array:
    """Fixed-width text as the strings of any length that every other part works with."""
    return array.astype(object) if array.dtype.kind == "U" else array

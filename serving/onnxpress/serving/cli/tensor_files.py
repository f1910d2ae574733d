"""The files that questions to a model and its answers are kept in: JSON, .npz and .csv."""

from __future__ import annotations

import csv
import sys
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData
from onnxpress.core.indented_json import indented
from onnxpress.core.tensors import TensorSpec, bind_dimensions
from onnxpress.serving.engine.dtypes import array_dtype
from onnxpress.serving.protocol.datatypes import DATATYPE_OF

_DTYPE_OF = {datatype: dtype for dtype, datatype in DATATYPE_OF.items()}


def _tensor(tensor: Mapping[str, Any]) -> Array:
    dtype = _DTYPE_OF[tensor["datatype"]]
    return np.array(tensor["data"], array_dtype(dtype)).reshape(tensor["shape"])


def read_input(path: Path, specs: Sequence[TensorSpec]) -> dict[str, Array]:
    """Feeds from a .json, .npz or .csv file, or JSON from stdin for `-`; dtypes as the model wants them.

    Raises BadData with the file and what in it is wrong.
    """
    if str(path) == "-":
        return from_json(sys.stdin.buffer.read(), specs, "stdin")
    try:
        if path.suffix == ".npz":
            # Opened here: np.load leaves a file open that it cannot read.
            with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as archive:
                given = {name: archive[name] for name in archive.files if name in _names(specs)}
            return _feeds(given, specs, str(path))
        if path.suffix == ".csv":
            return _from_csv(path, specs)
        return from_json(path.read_bytes(), specs, str(path))
    except OSError as error:
        raise BadData(f"cannot be read: {error.strerror or error}", where=str(path)) from None
    except (ValueError, KeyError, EOFError, csv.Error, zipfile.BadZipFile, zlib.error) as error:
        raise BadData(f"cannot be read: {error}", where=str(path)) from None


def from_json(content: bytes, specs: Sequence[TensorSpec], where: str) -> dict[str, Array]:
    """A V2 inference request, `{"input": values}`, or the bare values of a model with one input."""
    try:
        document = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise BadData(f"not JSON: {error}", where=where) from None
    if isinstance(document, dict) and isinstance(document.get("inputs"), list) and "inputs" not in _names(specs):
        try:
            document = {tensor["name"]: _tensor(tensor) for tensor in document["inputs"]}
        except (KeyError, TypeError, ValueError) as error:
            raise BadData(f"not a V2 inference request: {error}", where=where) from None
    elif not isinstance(document, dict):
        if len(specs) > 1:
            raise BadData(f"the model takes {', '.join(_names(specs))}; give an object with those names", where=where)
        document = {specs[0].name: document}
    return _feeds(document, specs, where)


def _from_csv(path: Path, specs: Sequence[TensorSpec]) -> dict[str, Array]:
    """Columns named like inputs feed them; a single two-dimensional input takes all columns as its features."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        header, *rows = list(csv.reader(file)) or [[]]
    if not rows:
        raise BadData("there are no rows below the header", where=str(path))
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise BadData(f"{len(row)} values where the header has {len(header)}", where=f"{path}:{number}")
    if set(_names(specs)) <= set(header):
        columns = {name: [row[header.index(name)] for row in rows] for name in _names(specs)}
        return _feeds(columns, specs, str(path))
    if len(specs) == 1 and len(specs[0].shape) == 2:
        return _feeds({specs[0].name: rows}, specs, str(path))
    raise BadData(f"the header names none of the inputs {', '.join(_names(specs))}", where=str(path))


def _feeds(given: Mapping[str, Any], specs: Sequence[TensorSpec], where: str) -> dict[str, Array]:
    feeds = {}
    for name in given:
        if name not in _names(specs):
            raise BadData(f"there is no input {name!r}; the model takes {', '.join(_names(specs))}", where=where)
    for spec in specs:
        if spec.name not in given:
            raise BadData(f"the input {spec.name!r} is missing; the model takes {spec}", where=where)
        try:
            value = np.asarray(given[spec.name], array_dtype(spec.dtype))
        except (ValueError, TypeError, OverflowError) as error:
            raise BadData(f"the values of {spec.name!r} are no {spec.dtype}: {error}", where=where) from None
        if value.ndim == len(spec.shape) - 1:
            value = value[None]  # a lone row
        feeds[spec.name] = value
    try:
        bind_dimensions(specs, [feeds[spec.name].shape for spec in specs])
    except ValueError as error:
        raise BadData(str(error), where=where) from None
    return feeds


def _names(specs: Sequence[TensorSpec]) -> list[str]:
    return [spec.name for spec in specs]


def to_json(answers: Mapping[str, Array]) -> bytes:
    """`{"output": values}`, indented, with a line's end."""
    return indented({name: value.tolist() for name, value in answers.items()})


def write(path: Path, answers: Mapping[str, Array]) -> None:
    """As .npz where the name says so, else as JSON; whole or not at all."""
    from io import BytesIO

    from onnxpress.core.files import write_atomically

    if path.suffix != ".npz":
        write_atomically(path, to_json(answers))
        return
    buffer = BytesIO()
    plain = {name: value.astype(np.str_) if value.dtype == object else value for name, value in answers.items()}
    np.savez_compressed(buffer, allow_pickle=False, **plain)
    write_atomically(path, buffer.getvalue())

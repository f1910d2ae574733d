"""The files that questions to a model and its answers are kept in: JSON, .npz and .csv."""

from __future__ import annotations

import sys
import zipfile
import zlib
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData
from onnxpress.core.indented_json import indented
from onnxpress.core.tensors import TensorSpec, bind_dimensions
from onnxpress.serving.cli import csv_tables
from onnxpress.serving.engine.feeds import as_arrays
from onnxpress.serving.protocol.datatypes import DATATYPE_OF
from onnxpress.serving.protocol.literals import number
from onnxpress.serving.protocol.nested import array_of
from onnxpress.serving.protocol.tensor_data import NOT_JSON, decoded


class _Tensor(msgspec.Struct):
    name: str
    datatype: str
    shape: list[int]
    data: list[Any]
    parameters: dict[str, Any] | None = None


class _Request(msgspec.Struct):
    """A V2 inference request."""

    inputs: list[_Tensor]
    outputs: list[Any] | None = None
    parameters: dict[str, Any] | None = None


def read_input(path: Path, specs: Sequence[TensorSpec], optional: Sequence[TensorSpec] = ()) -> dict[str, Array]:
    """Feeds from a .json, .npz or .csv file, or JSON from stdin for `-`; dtypes as the model wants them.

    Inputs that are `optional` may come in JSON by their names, and in an .npz. Raises BadData with the file and what in
    it is wrong.
    """
    if str(path) == "-":
        return from_json(sys.stdin.buffer.read(), specs, "stdin", optional)
    suffix = path.suffix.lower()
    try:
        if suffix == ".npz":
            # Opened here: np.load leaves a file open that it cannot read.
            with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as archive:
                wanted = _given(specs, optional, archive.files)
                given = {name: archive[name] for name in archive.files if name in _names(wanted)}
            return _bound(given, wanted, str(path))
        if suffix in csv_tables.SUFFIXES:
            return _bound(csv_tables.read(path, specs), specs, str(path))
        return from_json(path.read_bytes(), specs, str(path), optional)
    except OSError as error:
        raise BadData(f"cannot be read: {error.strerror or error}", where=str(path)) from None
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise BadData(f"cannot be read: {error}", where=str(path)) from None


def from_json(
    content: bytes, specs: Sequence[TensorSpec], where: str, optional: Sequence[TensorSpec] = ()
) -> dict[str, Array]:
    """What JSON asks, in one of these forms:

    - `{"input": values}`, values being those of all rows, or of one
    - `[{"input": value}, ...]`, an object for each row; a predict request holds either below `inputs` or `instances`
    - the bare values of a model with one input
    - a V2 inference request

    Values keep their kind: a number is no text. null is a missing value: NaN in a float and, where inputs are named,
    the empty text in a string. Raises BadData.
    """
    names = _names(specs)
    try:
        document: Any = decoded(content)
    except NOT_JSON as error:
        raise BadData(f"not JSON: {error}", where=where) from None
    if isinstance(document, dict) and not document.keys() & set(names):
        if isinstance(document.get("instances"), list):
            document = document["instances"]
        elif isinstance(document.get("inputs"), dict):
            document = document["inputs"]
        elif isinstance(document.get("inputs"), list):
            return _of_request(document, specs, where, optional)
    if isinstance(document, list) and any(map(_is_record, document)):
        document = _of_records(document, names, where)
    named = isinstance(document, dict)
    if not named:
        if len(specs) > 1:
            raise BadData(f"the model takes {', '.join(names)}; give an object with those names", where=where)
        document = {specs[0].name: document}
    specs = _given(specs, optional, document)
    _check_names(document, specs, where)
    try:
        arrays = {
            spec.name: array_of(spec, document[spec.name], null=named or spec.dtype != "string") for spec in specs
        }
    except ValueError as error:
        raise BadData(str(error), where=where) from None
    return _bound(arrays, specs, where)


def _is_record(value: Any) -> bool:
    """Whether it is an object that stands for no value."""
    return isinstance(value, dict) and value.keys() != {"b64"} and number(value) is None


def _of_records(records: list[Any], names: Sequence[str], where: str) -> dict[str, list[Any]]:
    """An object for each row as a list for each input."""
    for place, record in enumerate(records):
        if not isinstance(record, dict):
            raise BadData(f"record {place} is no object, and others are", where=where)
        for name in record:
            if name not in names:
                known = ", ".join(names)
                raise BadData(f"record {place}: there is no input {name!r}; the model takes {known}", where=where)
        for name in names:
            if name not in record:
                hint = "null stands for a value that is missing"
                raise BadData(f"record {place}: the input {name!r} is missing", where=where, hint=hint)
    return {name: [record[name] for record in records] for name in names}


def _of_request(
    document: dict[str, Any], specs: Sequence[TensorSpec], where: str, optional: Sequence[TensorSpec]
) -> dict[str, Array]:
    """The tensors of a V2 inference request."""
    try:
        request = msgspec.convert(document, _Request)
    except msgspec.ValidationError as error:
        raise BadData(f"not a V2 inference request: {error}", where=where) from None
    if request.outputs or request.parameters or any(tensor.parameters for tensor in request.inputs):
        hint = "leave outputs and parameters out, or POST the request to a server"
        raise BadData("every output is answered here, and in one form", where=where, hint=hint)
    given = {tensor.name: tensor for tensor in request.inputs}
    specs = _given(specs, optional, given)
    _check_names(given, specs, where)
    if len(given) < len(request.inputs):
        raise BadData("an input is given twice", where=where)
    arrays = {}
    for spec in specs:
        tensor = given[spec.name]
        wanted = DATATYPE_OF[spec.dtype]
        if tensor.datatype != wanted:
            raise BadData(f"{spec.name!r} has the datatype {tensor.datatype}; it must be {wanted}", where=where)
        nested = any(isinstance(value, list) for value in tensor.data)
        flat = msgspec.structs.replace(spec, shape=spec.shape if nested else ("values",))
        try:
            array = array_of(flat, tensor.data, null=True)
            arrays[spec.name] = array if nested else array.reshape(tensor.shape)
        except ValueError as error:
            raise BadData(str(error), where=where) from None
        if list(arrays[spec.name].shape) != tensor.shape:
            raise BadData(f"the data of {spec.name!r} have not the shape {tensor.shape}", where=where)
    return _bound(arrays, specs, where)


def _given(specs: Sequence[TensorSpec], optional: Sequence[TensorSpec], names: Container[str]) -> list[TensorSpec]:
    """The inputs, and those of the optional ones that are among the names."""
    return [*specs, *(spec for spec in optional if spec.name in names)]


def _check_names(given: Mapping[str, Any], specs: Sequence[TensorSpec], where: str) -> None:
    for name in given:
        if name not in _names(specs):
            raise BadData(f"there is no input {name!r}; the model takes {', '.join(_names(specs))}", where=where)
    for spec in specs:
        if spec.name not in given:
            raise BadData(f"the input {spec.name!r} is missing; the model takes {spec}", where=where)


def _bound(given: Mapping[str, Array], specs: Sequence[TensorSpec], where: str) -> dict[str, Array]:
    """Arrays of the dtypes that the model takes, no value changed; a lone row gets its axis."""
    _check_names(given, specs, where)
    rows = {}
    for spec in specs:
        value = given[spec.name]
        rows[spec.name] = value[None] if value.ndim == len(spec.shape) - 1 else value
    feeds = as_arrays(specs, rows, where=where)
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
    """As .npz or .csv where the name says so, else as JSON; whole or not at all."""
    from io import BytesIO

    from onnxpress.core.files import write_atomically

    suffix = path.suffix.lower()
    if suffix == ".csv":
        write_atomically(path, csv_tables.written(answers, str(path)))
        return
    if suffix != ".npz":
        write_atomically(path, to_json(answers))
        return
    buffer = BytesIO()
    plain = {name: value.astype(np.str_) if value.dtype == object else value for name, value in answers.items()}
    np.savez_compressed(buffer, allow_pickle=False, **plain)
    write_atomically(path, buffer.getvalue())

"""Requests whose form their media type says: JSON in any form that is known here, JSON lines, CSV, or numpy's own.

JSON is rows of named columns, TensorFlow Serving's `instances` or `inputs`, a list of instances alone, or V2: whichever
it is shows in the body. Of JSON lines each is an instance. CSV has a line for each row and no header; the columns are
those of the inputs in their order.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from onnxpress.core import special_values
from onnxpress.core.arrays import Array
from onnxpress.core.tensors import FLOATS, TensorSpec
from onnxpress.serving.engine.dtypes import array_dtype
from onnxpress.serving.exchange import Headers
from onnxpress.serving.protocol import plain_rows, tensorflow_serving
from onnxpress.serving.protocol.inputs import Form, Inputs
from onnxpress.serving.protocol.large import joined
from onnxpress.serving.protocol.nested import array_of
from onnxpress.serving.protocol.refusal import Refusal, shown
from onnxpress.serving.protocol.requests import Reader
from onnxpress.serving.protocol.responses import nested_text, row_objects
from onnxpress.serving.protocol.shapes import checked
from onnxpress.serving.protocol.tensor_data import NOT_JSON, cut_out, decoded

if TYPE_CHECKING:
    from onnxpress.serving.protocol.responses import Writer

JSON, LINES, CSV, NPY = "application/json", "application/jsonlines", "text/csv", "application/x-npy"
_MEDIA = (JSON, LINES, CSV, NPY)
_SAME = dict.fromkeys(("application/jsonl", "application/x-jsonlines", "application/x-ndjson"), LINES)
"""other names of a media type"""
_ROWS = 4096
"""that become an array in one step: other threads have their turn between two"""
_BOOLS = {"true": True, "false": False, "1": True, "0": False}
_MISSING = ("", "nan", "NaN", "null", "NA")


def reading(content_type: str, accept: str) -> Callable[[Reader, bytes], Inputs]:
    """How a body of this media type is read, and answered in the first media type of `accept` that is known here.

    Empty texts are JSON, and the media type of the body. Raises Refusal(415) for another content type, and Refusal(400)
    where no media type is acceptable that is known here.
    """
    media = _media(content_type) or JSON
    if media not in _MEDIA:
        raise Refusal(415, f"the content type {shown(media)} is not known here; send {', '.join(_MEDIA)}")
    answer = _accepted(accept, media)
    if media == JSON:
        return read_json if answer == JSON else lambda reader, body: _answered(read_json(reader, body), answer)
    return lambda reader, body: _READERS[media](reader, body, _FORMS[answer]())


def _answered(inputs: Inputs, media: str) -> Inputs:
    """The same, answered in that media type."""
    inputs.form = _FORMS[media]()
    return inputs


def _media(content_type: str) -> str:
    media = content_type.partition(";")[0].strip().lower()
    return _SAME.get(media, media)


def _accepted(accept: str, media: str) -> str:
    wanted = [_media(one) for one in accept.split(",") if one.strip()]
    for one in wanted or ["*/*"]:
        if one in _MEDIA:
            return one
        if one in ("*/*", media.partition("/")[0] + "/*"):
            return media
    raise Refusal(400, f"none of {shown(accept)} can be had; there are {', '.join(_MEDIA)}")


class _AnyJson(msgspec.Struct):
    rows: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    instances: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    inputs: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


def read_json(reader: Reader, body: bytes) -> Inputs:
    """Read any of the forms. Raises Refusal."""
    start = body.lstrip()[:1]
    if start == b"[":
        return (plain_rows.read if _of_objects(body) else _instances)(reader, body)
    try:
        found = cut_out(body, _AnyJson)
    except NOT_JSON as error:
        raise Refusal(400, f"the body is no JSON object or list: {error}") from None
    if isinstance(found.rows, msgspec.Raw):
        return plain_rows.read(reader, body)
    inputs = found.inputs if isinstance(found.inputs, msgspec.Raw) else b""
    if not isinstance(found.instances, msgspec.Raw) and _of_objects(bytes(inputs)) and b'"datatype"' in body:
        return reader.read(body)
    return tensorflow_serving.read(reader, body)


def _of_objects(text: bytes) -> bool:
    return text.lstrip()[1:].lstrip()[:1] == b"{" and text.lstrip()[:1] == b"["


def _instances(reader: Reader, body: bytes) -> Inputs:
    return tensorflow_serving.read(reader, b'{"instances":%b}' % body)


def read_lines(reader: Reader, body: bytes, form: Form) -> Inputs:
    """Read an instance from each line. Raises Refusal that names the line of what is wrong."""
    if not reader.has_rows:
        raise Refusal(400, "this model does not take rows; send JSON")
    parts: dict[str, list[Array]] = {spec.name: [] for spec in reader.specs}
    rows: list[Any] = []
    for number, line in enumerate(io.BytesIO(body), 1):
        if not line.strip():
            continue
        try:
            rows.append(decoded(line))
        except NOT_JSON as error:
            raise Refusal(400, f"line {number} is no JSON: {error}") from None
        if len(rows) == _ROWS:
            _add_instances(reader.specs, rows, parts)
            rows = []
    if rows:
        _add_instances(reader.specs, rows, parts)
    if not any(parts.values()):
        raise Refusal(400, "there are no rows")
    arrays = (joined(spec, parts[spec.name]) for spec in reader.specs)
    values, shapes = checked(reader.specs, arrays, len(body))
    return reader.inputs(values, shapes, None, None, form)


def _add_instances(specs: Sequence[TensorSpec], rows: list[Any], parts: dict[str, list[Array]]) -> None:
    columns = tensorflow_serving.columns(rows, [spec.name for spec in specs])
    for spec in specs:
        parts[spec.name].append(tensorflow_serving.array_in(spec, columns[spec.name]))


def read_csv(reader: Reader, body: bytes, form: Form) -> Inputs:
    """Read lines of values. Raises Refusal that names the row and the column of what is wrong."""
    import csv

    if not reader.has_rows:
        raise Refusal(400, "this model does not take rows; send JSON")
    widths = [_width(spec) for spec in reader.specs]
    parts: dict[str, list[Array]] = {spec.name: [] for spec in reader.specs}
    try:
        lines = csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True)
        rows: list[list[str]] = []
        count = 0
        for line in lines:
            if line:
                if len(line) != sum(widths):
                    raise Refusal(
                        400, f"row {count + len(rows)} has {len(line)} columns; the model takes {sum(widths)}"
                    )
                rows.append(line)
            if len(rows) == _ROWS:
                _add(reader.specs, widths, rows, parts, count)
                count, rows = count + len(rows), []
        _add(reader.specs, widths, rows, parts, count)
    except (csv.Error, UnicodeDecodeError) as error:
        raise Refusal(400, f"the body is no CSV: {error}") from None
    if not count + len(rows):
        raise Refusal(400, "there are no rows")
    arrays = (joined(spec, parts[spec.name]) for spec in reader.specs)
    values, shapes = checked(reader.specs, arrays, len(body))
    return reader.inputs(values, shapes, None, None, form)


def _width(spec: TensorSpec) -> int:
    """The columns of an input."""
    if any(isinstance(size, str) for size in spec.shape[1:]):
        raise Refusal(400, f"the rows of {spec} have no number of columns; send JSON")
    return math.prod(size for size in spec.shape[1:] if isinstance(size, int))


def _add(
    specs: Sequence[TensorSpec],
    widths: Sequence[int],
    rows: list[list[str]],
    parts: dict[str, list[Array]],
    before: int,
) -> None:
    start = 0
    for spec, width in zip(specs, widths, strict=True):
        if rows:
            values = [
                _value(spec, text, before + number, start + column)
                for number, row in enumerate(rows)
                for column, text in enumerate(row[start : start + width])
            ]
            try:
                flat = array_of(msgspec.structs.replace(spec, shape=("values",)), values, null=True)
            except ValueError as error:
                raise Refusal(400, f"rows {before} to {before + len(rows) - 1}: {error}") from None
            parts[spec.name].append(flat.reshape(len(rows), *spec.shape[1:]))
        start += width


def _value(spec: TensorSpec, text: str, row: int, column: int) -> Any:
    if spec.dtype == "string":
        return text
    text = text.strip()
    try:
        if spec.dtype in FLOATS:
            return None if text in _MISSING else float(text)
        return _BOOLS[text.lower()] if spec.dtype == "bool" else int(text)
    except (ValueError, KeyError):
        raise Refusal(400, f"row {row}, column {column}: {shown(text)} is no {spec.dtype}") from None


def read_npy(reader: Reader, body: bytes, form: Form) -> Inputs:
    """Read one array, for a model of one input. Raises Refusal."""
    if len(reader.specs) != 1:
        raise Refusal(400, f"an array is one input; the model takes {', '.join(map(str, reader.specs))}")
    (spec,) = reader.specs
    array = _array(body)
    wanted = np.dtype(array_dtype(spec.dtype))
    if spec.dtype == "string" and array.dtype.kind == "U":
        array = array.astype(object)
    elif array.dtype != wanted:
        # Floats are rounded as those in JSON are; nothing else changes its kind, or its value.
        if not np.can_cast(array.dtype, wanted, "same_kind" if spec.dtype in FLOATS else "safe"):
            raise Refusal(400, f"the array holds {array.dtype}; the input is {spec}")
        array = array.astype(wanted)
    if spec.refuses and (what := special_values.refused(spec, array)):
        raise Refusal(400, what)
    values, shapes = checked(reader.specs, [array], len(body))
    return reader.inputs(values, shapes, None, None, form)


def _array(body: bytes) -> Array:
    """What numpy wrote, once what its header promises is what there is."""
    file = io.BytesIO(body)
    try:
        version = np.lib.format.read_magic(file)
        header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, fortran, dtype = header(file)
    except (ValueError, KeyError) as error:
        raise Refusal(400, f"the body is no array of numpy's: {str(error)[:200]}") from None
    start = file.tell()
    if dtype.hasobject or dtype.kind not in "biufU":
        raise Refusal(400, f"an array of {shown(str(dtype))} is no input; it may be of numbers, booleans or text")
    if math.prod(shape) * dtype.itemsize != len(body) - start or not dtype.itemsize:
        raise Refusal(400, f"the array says {shown(list(shape))} of {dtype}, and {len(body) - start} bytes follow")
    return np.frombuffer(body, dtype, offset=start).reshape(shape, order="F" if fortran else "C")


class _Csv:
    """A line for each row: the values of all outputs in their order."""

    def write(self, writer: Writer, inputs: Inputs, answers: Sequence[Array]) -> tuple[bytes, Headers]:
        """Raises Refusal where an output has no rows."""
        import csv

        columns = _by_rows(writer, inputs, answers)
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        for row in zip(*columns, strict=True):
            lines.writerow([value for part in row for value in _flat(part)])
        return text.getvalue().encode(), ((b"content-type", b"text/csv; charset=utf-8"),)


class _Npy:
    """The one output, as numpy writes it."""

    def write(self, writer: Writer, inputs: Inputs, answers: Sequence[Array]) -> tuple[bytes, Headers]:
        """Raises Refusal where there are several."""
        if len(answers) != 1:
            raise Refusal(400, f"the model answers {len(answers)} arrays; accept application/json")
        (array,) = answers
        file = io.BytesIO()
        np.lib.format.write_array(file, array.astype(np.str_) if array.dtype.kind == "O" else array, allow_pickle=False)
        return file.getvalue(), ((b"content-type", NPY.encode()),)


class _Json:
    """As TensorFlow Serving's: a value for each row, or an object where the model has several outputs."""

    def write(self, writer: Writer, inputs: Inputs, answers: Sequence[Array]) -> tuple[bytes, Headers]:
        """Raises Refusal where an output has no rows."""
        columns = _by_rows(writer, inputs, answers)
        if len(answers) == 1:
            return b'{"predictions":%b}' % nested_text(answers[0]), ()
        names = [spec.name for spec in writer.outputs]
        return b'{"predictions":[%b]}' % row_objects(names, [list(column) for column in columns]), ()


class _Lines:
    """A line of JSON for each row: its value, or an object where the model has several outputs."""

    def write(self, writer: Writer, inputs: Inputs, answers: Sequence[Array]) -> tuple[bytes, Headers]:
        """Raises Refusal where an output has no rows."""
        columns = _by_rows(writer, inputs, answers)
        names = [spec.name for spec in writer.outputs]
        rows = [row[0] if len(row) == 1 else dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
        return msgspec.json.Encoder().encode_lines(rows), ((b"content-type", LINES.encode()),)


_READERS = {LINES: read_lines, CSV: read_csv, NPY: read_npy}
_FORMS: dict[str, Callable[[], Form]] = {JSON: _Json, LINES: _Lines, CSV: _Csv, NPY: _Npy}


def _by_rows(writer: Writer, inputs: Inputs, answers: Sequence[Array]) -> list[list[Any]]:
    for spec, answer in zip(writer.outputs, answers, strict=True):
        if not answer.ndim or len(answer) != inputs.shapes[0][0]:
            raise Refusal(400, f"the output {spec.name!r} has no row for each of the request's; send JSON with inputs")
    return [answer.tolist() for answer in answers]


def _flat(value: Any) -> list[Any]:
    return [one for part in value for one in _flat(part)] if isinstance(value, list) else [value]

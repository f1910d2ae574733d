"""Rows as people write them: an object of named columns each in, an object with the label each out.

`{"rows": [{"age": 31, "plan": "basic"}]}` is answered with `{"rows": [{"label": "no", ...}]}`, and the list alone with
a list. A column is an input of the model. null is a missing value, where the model takes one: NaN among floats, the
empty text among strings. A whole number from 0 that has labels is answered as its label, and a list of as many numbers
as there are labels as an object of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from onnxpress.core import domains
from onnxpress.core.arrays import Array
from onnxpress.core.spelling import did_you_mean
from onnxpress.core.tensors import TensorSpec
from onnxpress.serving.exchange import Headers
from onnxpress.serving.protocol.inputs import Inputs
from onnxpress.serving.protocol.large import joined, pieces
from onnxpress.serving.protocol.nested import array_of
from onnxpress.serving.protocol.refusal import Refusal
from onnxpress.serving.protocol.requests import Reader
from onnxpress.serving.protocol.responses import row_objects, row_spans
from onnxpress.serving.protocol.shapes import checked
from onnxpress.serving.protocol.tensor_data import NOT_JSON, cut_out, decoded

if TYPE_CHECKING:
    from onnxpress.serving.protocol.responses import Writer

_BRACKET = b"["[0]


class _Request(msgspec.Struct, forbid_unknown_fields=True):
    rows: msgspec.Raw


class _Labelled:
    """The answer row by row, with labels in place of class numbers; `listed`: without the object around the rows."""

    def __init__(self, listed: bool) -> None:
        self._listed = listed

    def write(self, writer: Writer, inputs: Inputs, answers: Sequence[Array]) -> tuple[bytes, Headers]:
        """Raises Refusal where an output has no rows to be cut into."""
        count = inputs.shapes[0][0]
        for spec, answer in zip(writer.outputs, answers, strict=True):
            if not answer.ndim or len(answer) != count:
                raise Refusal(400, f"the output {spec.name!r} has no row for each of the request's; ask at /v2")
        names = [spec.name for spec in writer.outputs]
        texts = []
        for span in row_spans(count):
            columns = [
                _named(answer[span].tolist(), writer.labels.get(name, ()))
                for name, answer in zip(names, answers, strict=True)
            ]
            texts.append(row_objects(names, columns))
        rows = b"[%b]" % b",".join(texts)
        return rows if self._listed else b'{"rows":%b}' % rows, ()


def _named(values: list[Any], labels: Sequence[str]) -> list[Any]:
    """Each row's value of one output, with its labels where it has some."""
    if not labels:
        return values
    found: list[Any] = []
    for value in values:
        if type(value) is int and 0 <= value < len(labels):
            found.append(labels[value])
        elif isinstance(value, list) and len(value) == len(labels) and not isinstance(value[0], list):
            found.append(dict(zip(labels, value, strict=True)))
        else:
            found.append(value)
    return found


def read(reader: Reader, body: bytes) -> Inputs:
    """Read a request. Raises Refusal that names the row and the column of the first thing that is wrong."""
    if not reader.has_rows:
        raise Refusal(400, "this model does not take rows; ask at /v2")
    text = memoryview(_rows_text(body))
    if not text or text[0] != _BRACKET:
        raise Refusal(400, 'give {"rows": [{"column": value, ...}]}, or the list alone')
    parts: dict[str, list[Array]] = {spec.name: [] for spec in reader.specs}
    count = 0
    try:
        for rows in pieces(text, decoded):
            for spec, values in zip(reader.specs, _columns(reader.specs, rows, count), strict=True):
                parts[spec.name].append(_array(spec, values, count))
            count += len(rows)
    except NOT_JSON as error:
        raise Refusal(400, f"the rows are no JSON list: {error}") from None
    if not count:
        raise Refusal(400, "there are no rows")
    arrays = (joined(spec, parts[spec.name]) for spec in reader.specs)
    values, shapes = checked(reader.specs, arrays, len(body))
    return reader.inputs(values, shapes, None, None, _Labelled(listed=body.lstrip()[:1] == b"["))


def _rows_text(body: bytes) -> bytes | msgspec.Raw:
    stripped = body.lstrip(b" \t\r\n")
    if stripped[:1] == b"[":
        return stripped
    try:
        rows: msgspec.Raw = cut_out(body, _Request).rows
        return rows
    except NOT_JSON as error:
        raise Refusal(400, f'give {{"rows": [{{"column": value, ...}}]}}, or the list alone: {error}') from None


def _columns(specs: Sequence[TensorSpec], rows: list[Any], before: int) -> list[list[Any]]:
    """The values of each input, in order."""
    names = [spec.name for spec in specs]
    known = set(names)
    for number, row in enumerate(rows, before):
        if not isinstance(row, dict):
            raise Refusal(400, f"row {number} is no object of columns; the columns are {', '.join(names)}")
        if row.keys() != known:
            _refuse_columns(number, row, names)
    return [[row[name] for row in rows] for name in names]


def _refuse_columns(number: int, row: Mapping[str, Any], names: Sequence[str]) -> None:
    unknown = [name for name in row if name not in names]
    if unknown:
        hint = did_you_mean(unknown[0][:80], names, "there are")
        raise Refusal(400, f"row {number} has a column {unknown[0][:80]!r} that the model does not take; {hint}")
    lacking = next(name for name in names if name not in row)
    raise Refusal(400, f"row {number} lacks the column {lacking!r}; null stands for a value that is missing")


def _array(spec: TensorSpec, values: list[Any], before: int) -> Array:
    """The rows' values of one input; a number alone is a row of one where the input has one column."""
    one_column = len(spec.shape) == 2 and spec.shape[1] == 1
    if one_column and not any(isinstance(value, list) for value in values):
        values = [[value] for value in values]
    try:
        array = array_of(spec, values, null=True)
        what = domains.refused(spec, array) if domains.guarded(spec) else ""
        if not what:
            return array
    except ValueError as error:
        what = str(error)
    for number, value in enumerate(values, before):
        if one := _wrong(spec, value):
            raise Refusal(400, f"row {number}: {one}")
    raise Refusal(400, what)


def _wrong(spec: TensorSpec, value: Any) -> str:
    """What stands against one row's value; empty where nothing does."""
    try:
        what = domains.refused(spec, array_of(spec, [value], null=True))
    except ValueError as error:
        what = str(error)
    if what and (value is None or value == [None]):
        return f"{spec.name!r} is missing, and the model takes no such"
    if what and isinstance(value, str) and spec.domain is not None and spec.domain.values is not None:
        return f"{what}; {did_you_mean(value[:80], spec.domain.values, 'there are', most=10)}"
    return what

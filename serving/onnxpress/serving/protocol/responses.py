"""Writing inference responses: the outputs of one run, cut into one JSON body per request.

NaN and the infinities have no JSON form: they are written as null.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any

import msgspec

from onnxpress.core.arrays import Array
from onnxpress.core.tensors import TensorSpec
from onnxpress.serving.exchange import Headers
from onnxpress.serving.protocol.datatypes import DATATYPE_OF
from onnxpress.serving.protocol.inputs import Inputs

Shape = tuple[int, ...]
_encode = msgspec.json.Encoder().encode
_KEPT = 256
_BLOCK = 16 << 10
"""values that become text in one step, some 1 ms: other threads have their turn between two"""
_ROWS = 1024
"""rows with names that do"""


class Writer:
    """Writes the responses of one version of one model. Raises ValueError for a dtype that the protocol cannot carry.

    Everything but the numbers is the same in all plain responses of the same shapes, and kept as a template.
    """

    def __init__(
        self, name: str, version: int, outputs: Sequence[TensorSpec], labels: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        """`labels`: output name → the label of each of its classes."""
        for spec in outputs:
            if spec.dtype not in DATATYPE_OF:
                raise ValueError(f"{spec} has a dtype that responses cannot carry")
        self.name, self.version = name, version
        self.outputs, self.labels = tuple(outputs), labels or {}
        self._start = b'{"model_name":%b,"model_version":"%d",' % (_literal(name), version)
        self._heads = [
            b'{"name":%b,"datatype":"%b","shape":' % (_literal(spec.name), DATATYPE_OF[spec.dtype].encode())
            for spec in outputs
        ]
        self._templates: dict[tuple[Shape, ...], bytes] = {}

    def alone(self, inputs: Inputs, answers: Sequence[Array]) -> bytes:
        """The response body of a request that was run alone, in V2 JSON."""
        shapes = tuple([answer.shape for answer in answers])
        return self._body(inputs, shapes, tuple([flat_text(answer) for answer in answers]))

    def together(self, batch: Sequence[Inputs], answers: Sequence[Array]) -> Iterator[bytes]:
        """One response body per request, in order and in V2 JSON.

        Raises ValueError where the outputs have not the batch's rows.
        """
        total = _rows_of(batch, answers)
        tails = [answer.shape[1:] for answer in answers]
        columns = [
            _rows(answer.reshape(total, prod(tail)), spec.dtype)
            for answer, tail, spec in zip(answers, tails, self.outputs, strict=True)
        ]
        one_row = tuple([(1, *tail) for tail in tails])
        usual, texts = self._plain(one_row), list(zip(*columns, strict=True))
        start = 0
        for inputs in batch:
            count = inputs.rows
            if count == 1 and inputs.id is None and inputs.outputs is None:
                yield usual % texts[start]
            elif count == 1:
                yield self._body(inputs, one_row, texts[start])
            else:
                shapes = tuple([(count, *tail) for tail in tails])
                yield self._body(inputs, shapes, tuple([_joined(rows[start : start + count]) for rows in columns]))
            start += count

    def formed(self, batch: Sequence[Inputs], answers: Sequence[Array]) -> Iterator[tuple[bytes, Headers]]:
        """As `together`, for requests that all want another form than V2 JSON: bodies, and their headers."""
        _rows_of(batch, answers)
        start = 0
        shared: list[Any] = []
        for inputs in batch:
            form = inputs.form
            assert form is not None  # one batch, one kind
            stop = start + inputs.rows
            write_rows = getattr(form, "write_rows", None)
            if write_rows is None:
                yield form.write(self, inputs, [answer[start:stop] for answer in answers])
            else:
                yield write_rows(self, inputs, answers, start, stop, shared)
            start = stop

    def opening(self, inputs: Inputs) -> bytes:
        """The JSON before `"outputs"`."""
        return self._start % () + (b"" if inputs.id is None else b'"id":%b,' % _encode(inputs.id))

    def described(self, number: int, shape: Shape, dtype: str) -> bytes:
        """One output's JSON but for its data, of which `dtype` is told."""
        spec = self.outputs[number]
        if dtype == spec.dtype:
            return self._heads[number] % () + _encode(shape)
        datatype = DATATYPE_OF[dtype].encode()
        return b'{"name":%b,"datatype":"%b","shape":%b' % (_encode(spec.name), datatype, _encode(shape))

    def _body(self, inputs: Inputs, shapes: tuple[Shape, ...], texts: tuple[bytes, ...]) -> bytes:
        """`texts` are the flat values of each output of the model, without the brackets."""
        if inputs.id is None and inputs.outputs is None:
            return self._plain(shapes) % texts
        chosen = range(len(shapes)) if inputs.outputs is None else inputs.outputs
        told = b"" if inputs.id is None else b'"id":%b,' % _literal(inputs.id)
        return self._template(shapes, chosen, told) % tuple([texts[number] for number in chosen])

    def _plain(self, shapes: tuple[Shape, ...]) -> bytes:
        """The template of a response with every output and no id."""
        template = self._templates.get(shapes)
        if template is None:
            template = self._template(shapes, range(len(shapes)), b"")
            if len(self._templates) < _KEPT:
                self._templates[shapes] = template
        return template

    def _template(self, shapes: tuple[Shape, ...], chosen: Sequence[int], told: bytes) -> bytes:
        outputs = [b'%b%b,"data":[%%b]}' % (self._heads[number], _encode(shapes[number])) for number in chosen]
        return b'%b%b"outputs":[%b]}' % (self._start, told, b",".join(outputs))


def flat_text(answer: Array) -> bytes:
    """The JSON of an array's values in order, without brackets."""
    if answer.size <= _BLOCK:
        return _encode(answer.ravel().tolist())[1:-1]
    flat = answer.ravel()
    parts = [_encode(flat[start : start + _BLOCK].tolist())[1:-1] for start in range(0, len(flat), _BLOCK)]
    return b",".join(parts)


def nested_text(answer: Array) -> bytes:
    """The JSON of an array as lists in lists."""
    if answer.size <= _BLOCK:
        return _encode(answer.tolist())
    step = _BLOCK * len(answer) // answer.size
    if not step:
        return b"[%b]" % b",".join([nested_text(row) for row in answer])
    parts = [_encode(answer[start : start + step].tolist())[1:-1] for start in range(0, len(answer), step)]
    return b"[%b]" % b",".join(parts)


def row_spans(count: int) -> Iterator[slice]:
    """So many rows in parts, each of which becomes text in one step."""
    for start in range(0, count, _ROWS):
        yield slice(start, start + _ROWS)


def row_objects(names: Sequence[str], columns: Sequence[list[object]]) -> bytes:
    """An object for each row, between commas.

    >>> row_objects(["label", "score"], [["yes", "no"], [0.9, 0.2]])
    b'{"label":"yes","score":0.9},{"label":"no","score":0.2}'
    """
    return _encode([dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)])[1:-1]


def _rows_of(batch: Sequence[Inputs], answers: Sequence[Array]) -> int:
    """The rows of the batch. Raises ValueError where an output has others."""
    total = sum([inputs.rows for inputs in batch])
    if any(not answer.ndim or len(answer) != total for answer in answers):
        raise ValueError("an output has other rows than the batch")
    return total


def _rows(answer: Array, dtype: str) -> list[bytes]:
    """The JSON of each row of a (rows, values) array, without the brackets."""
    if answer.size > _BLOCK and len(answer) > 1:
        step = max(1, _BLOCK // answer.shape[1])
        blocks = [answer[start : start + step] for start in range(0, len(answer), step)]
        return [row for block in blocks for row in _rows(block, dtype)]
    if answer.size > _BLOCK:
        return [flat_text(answer)]
    rows = answer.tolist()
    if dtype == "string":  # a text may hold brackets
        return [_encode(row)[1:-1] for row in rows]
    if not rows:
        return []
    # One call for the whole batch costs half of one call a row.
    return _encode(rows)[2:-2].split(b"],[")


def _joined(rows: list[bytes]) -> bytes:
    """Rows one after the other; those without a value leave no comma."""
    return b",".join(filter(None, rows))


def _literal(text: str) -> bytes:
    """The text as JSON inside a template."""
    return _encode(text).replace(b"%", b"%%")

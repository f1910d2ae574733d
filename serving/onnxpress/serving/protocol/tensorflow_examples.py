"""TensorFlow Serving's `:classify` and `:regress`: examples of named features in, labels with scores or numbers out.

A feature is an input of the model; what `context` holds is every example's. `{"examples": [{"age": 31}]}` is answered
with `{"result": [[["stays", 0.8], ["leaves", 0.2]]]}`, or with `{"result": [0.2]}`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from onnxpress.core.arrays import Array
from onnxpress.core.tensors import FLOATS, TensorSpec
from onnxpress.serving.exchange import Headers
from onnxpress.serving.protocol import plain_rows
from onnxpress.serving.protocol.inputs import Form, Inputs
from onnxpress.serving.protocol.refusal import Refusal
from onnxpress.serving.protocol.requests import LARGE, Reader
from onnxpress.serving.protocol.tensor_data import NOT_JSON, cut_out, decoded

if TYPE_CHECKING:
    from onnxpress.serving.protocol.responses import Writer

_SIGNATURES = ("", "serving_default")
_MOST_CONTEXT = 8 << 20
"""bytes that a context may come to once it is in every example: so much takes the loop a tenth of a second"""


class _Request(msgspec.Struct):
    examples: msgspec.Raw
    signature_name: str = ""
    context: dict[str, Any] = {}


def classes(writer: Writer, inputs: Inputs, answers: Sequence[Array]) -> list[list[tuple[str, float]]]:
    """For each example its classes, a label and a score each, in the model's order.

    Raises Refusal where the model has no output of scores, or several.
    """
    labels = writer.labels
    scores = [
        (spec, answer)
        for spec, answer in zip(writer.outputs, answers, strict=True)
        if spec.dtype in FLOATS and answer.ndim == 2 and len(answer) == inputs.shapes[0][0]
    ]
    labelled = [one for one in scores if len(labels.get(one[0].name, ())) == one[1].shape[1]]
    found = labelled or scores
    if len(found) != 1:
        raise Refusal(400, f"the model has {len(found) or 'no'} outputs of scores to classify by; use predict")
    spec, answer = found[0]
    names = labels[spec.name] if labelled else [str(number) for number in range(answer.shape[1])]
    return [list(zip(names, row, strict=True)) for row in answer.tolist()]


def numbers(writer: Writer, inputs: Inputs, answers: Sequence[Array]) -> list[float]:
    """For each example one number. Raises Refusal where the model has no output of one float a row, or several."""
    rows = inputs.shapes[0][0]
    found = [
        answer
        for spec, answer in zip(writer.outputs, answers, strict=True)
        if spec.dtype in FLOATS and answer.shape in ((rows,), (rows, 1))
    ]
    if len(found) != 1:
        raise Refusal(400, f"the model has {len(found) or 'no'} outputs of one number for a row; use predict")
    told: list[float] = found[0].ravel().tolist()
    return told


def with_context(context: dict[str, Any], examples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each example with what all have in common. Raises Refusal where that is far more than what came."""
    size = len(msgspec.json.encode(context)) * len(examples) if context else 0
    if size > _MOST_CONTEXT:
        raise Refusal(
            400, f"the context comes to {size} bytes in all examples, more than {_MOST_CONTEXT}; send fewer at once"
        )
    return [{**context, **example} for example in examples]


class _Classes:
    """The classes of each example, as JSON."""

    def write(self, writer: Writer, inputs: Inputs, answers: Sequence[Array]) -> tuple[bytes, Headers]:
        """Raises Refusal, see `classes`."""
        return msgspec.json.encode({"result": classes(writer, inputs, answers)}), ()


class _Numbers:
    """The number of each example, as JSON."""

    def write(self, writer: Writer, inputs: Inputs, answers: Sequence[Array]) -> tuple[bytes, Headers]:
        """Raises Refusal, see `numbers`."""
        return msgspec.json.encode({"result": numbers(writer, inputs, answers)}), ()


def read_classify(reader: Reader, body: bytes) -> Inputs:
    """Read the examples of a classify request. Raises Refusal."""
    return read(reader, body, _Classes())


def read_regress(reader: Reader, body: bytes) -> Inputs:
    """Read the examples of a regress request. Raises Refusal."""
    return read(reader, body, _Numbers())


def read(reader: Reader, body: bytes, form: Form) -> Inputs:
    """Read a request in JSON whose answer is to have this form. Raises Refusal."""
    try:
        request = cut_out(body, _Request)
    except NOT_JSON as error:
        raise Refusal(400, f"not a request with examples: {error}") from None
    if request.signature_name not in _SIGNATURES:
        raise Refusal(400, f"there is no signature {request.signature_name[:80]!r}; there is: {_SIGNATURES[1]}")
    rows = bytes(request.examples)
    if len(body) < LARGE:
        rows = _merged(reader.specs, rows, request.context)
    elif request.context:
        raise Refusal(400, f"a context is taken with less than {LARGE} bytes; put it into each example")
    inputs = plain_rows.read(reader, b'{"rows":%b}' % rows)
    inputs.form = form
    return inputs


def _merged(specs: Sequence[TensorSpec], text: bytes, context: dict[str, Any]) -> bytes:
    """Each example with the context; a list of one value, as tf.Example has it, is that value where a row is one."""
    single = [spec.name for spec in specs if len(spec.shape) == 1 or spec.shape[1:] == (1,)]
    try:
        examples = decoded(text, list[dict[str, Any]])
    except NOT_JSON as error:
        raise Refusal(400, f"the examples are no list of objects: {error}") from None
    merged = with_context(context, examples)
    for example in merged:
        for name in single:
            value = example.get(name)
            if isinstance(value, list) and len(value) == 1:
                example[name] = value[0]
    return msgspec.json.encode(merged)

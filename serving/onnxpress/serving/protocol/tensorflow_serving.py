"""TensorFlow Serving's REST format: `instances` or `inputs` in, `predictions` or `outputs` out.

A string may come as `{"b64": ...}`. NaN and the infinities are read as TensorFlow Serving's clients write them, in
words that are no JSON, and written as null.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from onnxpress.core.arrays import Array
from onnxpress.core.tensors import TensorSpec
from onnxpress.serving.engine import Engine
from onnxpress.serving.exchange import Headers
from onnxpress.serving.protocol.inputs import Inputs
from onnxpress.serving.protocol.large import joined, pieces
from onnxpress.serving.protocol.nested import array_of
from onnxpress.serving.protocol.refusal import Refusal
from onnxpress.serving.protocol.requests import LARGE, Reader
from onnxpress.serving.protocol.responses import nested_text, row_objects, row_spans
from onnxpress.serving.protocol.shapes import check_shape, checked
from onnxpress.serving.protocol.tensor_data import NOT_JSON, cut_out, decoded

if TYPE_CHECKING:
    from onnxpress.serving.protocol.responses import Writer

_BRACE, _BRACKET = b"{["

_SIGNATURE = "serving_default"
_DT = {
    "bool": "DT_BOOL", "int8": "DT_INT8", "int16": "DT_INT16", "int32": "DT_INT32", "int64": "DT_INT64",
    "uint8": "DT_UINT8", "uint16": "DT_UINT16", "uint32": "DT_UINT32", "uint64": "DT_UINT64", "float16": "DT_HALF",
    "bfloat16": "DT_BFLOAT16", "float32": "DT_FLOAT", "float64": "DT_DOUBLE", "string": "DT_STRING",
}  # fmt: skip
_NOT_GIVEN = msgspec.UNSET


class _Request(msgspec.Struct):
    signature_name: str = _SIGNATURE
    instances: list[Any] | msgspec.UnsetType = _NOT_GIVEN
    inputs: Any = _NOT_GIVEN


class _LargeRequest(msgspec.Struct):
    signature_name: str = _SIGNATURE
    instances: msgspec.Raw | msgspec.UnsetType = _NOT_GIVEN
    inputs: msgspec.Raw | msgspec.UnsetType = _NOT_GIVEN


_R = TypeVar("_R", _Request, _LargeRequest)


class _Predictions:
    """How an answer is written; where values came `alone` for an input of one column, so do those of such outputs."""

    alone = False

    def values(self, answers: Sequence[Array]) -> list[Array]:
        """The answers, each as it is shown."""
        if not self.alone:
            return list(answers)
        return [answer[:, 0] if answer.ndim == 2 and answer.shape[1] == 1 else answer for answer in answers]


class _Rows(_Predictions):
    """The answer row by row: a value each, or an object each where the model has several outputs."""

    def write(self, writer: Writer, inputs: Inputs, answers: Sequence[Array]) -> tuple[bytes, Headers]:
        """Raises Refusal where an output has no rows to be cut into."""
        for spec, answer in zip(writer.outputs, answers, strict=True):
            if not answer.ndim or len(answer) != inputs.shapes[0][0]:
                raise Refusal(
                    400, f"the output {spec.name!r} has no row for each instance; ask with inputs, not instances"
                )
        answers = self.values(answers)
        if len(answers) == 1:
            return b'{"predictions":%b}' % nested_text(answers[0]), ()
        names = [spec.name for spec in writer.outputs]
        texts = [
            row_objects(names, [answer[span].tolist() for answer in answers]) for span in row_spans(len(answers[0]))
        ]
        return b'{"predictions":[%b]}' % b",".join(texts), ()


class _Columns(_Predictions):
    """The answer output by output: the one tensor, or an object of them."""

    def write(self, writer: Writer, inputs: Inputs, answers: Sequence[Array]) -> tuple[bytes, Headers]:
        texts = [nested_text(answer) for answer in self.values(answers)]
        if len(texts) == 1:
            return b'{"outputs":%b}' % texts[0], ()
        names = [msgspec.json.encode(spec.name) for spec in writer.outputs]
        columns = [b"%b:%b" % column for column in zip(names, texts, strict=True)]
        return b'{"outputs":{%b}}' % b",".join(columns), ()


def read(reader: Reader, body: bytes) -> Inputs:
    """Read a predict request. Raises Refusal saying what is wrong with which input."""
    if len(body) >= LARGE:
        inputs = _by_steps(reader, body)
        if inputs is not None:
            return inputs
    request = _decoded(body, _Request)
    _check(request)
    names = [spec.name for spec in reader.specs]
    optional: dict[str, Array] = {}
    if isinstance(request.instances, list):
        form: _Rows | _Columns = _Rows()
        given = columns(request.instances, names)
    else:
        given = request.inputs
        if len(names) == 1 and (not isinstance(given, dict) or given.keys() == {"b64"} != set(names)):
            given = {names[0]: given}
        form = _Columns()
        if reader.overrides.specs and isinstance(given, dict):
            given = dict(given)
            defaults = [spec for spec in reader.overrides.specs if spec.name in given]
            optional = {spec.name: _default(spec, given.pop(spec.name), len(body)) for spec in defaults}
    if not isinstance(given, dict) or set(given) != set(names):
        raise Refusal(400, _every_name(reader))
    arrays = [_array(spec, given[spec.name]) for spec in reader.specs]
    form.alone = any(map(_alone, reader.specs, arrays))
    values, shapes = checked(reader.specs, map(_upright, reader.specs, arrays), len(body))
    inputs = reader.inputs(values, shapes, None, None, form)
    if optional:
        reader.overrides.set(inputs, optional)
    return inputs


def _by_steps(reader: Reader, body: bytes) -> Inputs | None:
    """As `read`, by short steps, so that other threads have their turn; None where it is no such request."""
    request = _decoded(body, _LargeRequest)
    _check(request)
    names = [spec.name for spec in reader.specs]
    rowwise = isinstance(request.instances, msgspec.Raw)
    whole: Any = request.instances if rowwise else request.inputs
    texts, form = [memoryview(whole)], _Rows() if rowwise else _Columns()
    optional: dict[str, Array] = {}
    if not rowwise:
        given: dict[str, msgspec.Raw] = {}
        if texts[0][0] == _BRACE:
            try:
                given = cut_out(bytes(whole), dict[str, msgspec.Raw])
            except NOT_JSON as error:
                raise Refusal(400, f"not a predict request: {error}") from None
            if len(names) == 1 and given.keys() == {"b64"} != set(names):
                return None
            for spec in reader.overrides.specs:
                if spec.name in given:
                    optional[spec.name] = _default(spec, _value(given.pop(spec.name)), len(body))
        elif len(names) == 1:
            given = {names[0]: whole}
        if set(given) != set(names):
            raise Refusal(400, _every_name(reader))
        texts = [memoryview(given[name]) for name in names]
    elif texts[0][0] != _BRACKET:
        return None
    found: dict[str, list[Array]] = {name: [] for name in names}
    try:
        if rowwise:
            named = set[bool]()
            for rows in pieces(texts[0], decoded):
                named.add(bool(rows) and isinstance(rows[0], dict) and names[0] in rows[0])
                if len(named) > 1:
                    raise Refusal(400, _odd_rows(names))
                for spec, data in zip(reader.specs, columns(rows, names).values(), strict=True):
                    found[spec.name].append(array_of(spec, data))
        else:
            for spec, text in zip(reader.specs, texts, strict=True):
                values = pieces(text, decoded) if text[0] == _BRACKET else [_value(text)]
                found[spec.name] = [array_of(spec, rows) for rows in values]
    except NOT_JSON as error:
        raise Refusal(400, str(error)) from None
    form.alone = any(_alone(spec, found[spec.name][0]) for spec in reader.specs)
    parts = ((spec, [_upright(spec, one) for one in found[spec.name]]) for spec in reader.specs)
    arrays = (joined(spec, some) if some[0].ndim else some[0] for spec, some in parts)
    flat, shapes = checked(reader.specs, arrays, len(body))
    inputs = reader.inputs(flat, shapes, None, None, form)
    if optional:
        reader.overrides.set(inputs, optional)
    return inputs


def _value(text: Any) -> Any:
    return decoded(bytes(text))


def _every_name(reader: Reader) -> str:
    return f"the model takes {', '.join(map(str, reader.specs))}; give each by its name, and no other"


def _check(request: _Request | _LargeRequest) -> None:
    if request.signature_name not in ("", _SIGNATURE):
        raise Refusal(400, f"there is no signature {request.signature_name[:80]!r}; there is: {_SIGNATURE}")
    if (request.instances is _NOT_GIVEN) == (request.inputs is _NOT_GIVEN):
        raise Refusal(400, "a predict request has either instances or inputs")


def array_in(spec: TensorSpec, data: Any) -> Array:
    """What an input is given; a number alone is a row of one where it has one column. Raises Refusal."""
    return _upright(spec, _array(spec, data))


def _array(spec: TensorSpec, data: Any) -> Array:
    try:
        return array_of(spec, data)
    except ValueError as error:
        raise Refusal(400, str(error)) from None


def _alone(spec: TensorSpec, found: Array) -> bool:
    """Whether these are values alone for an input of one column; TensorFlow Serving feeds them as they come."""
    return found.ndim == 1 and len(spec.shape) == 2 and spec.shape[1] == 1


def _upright(spec: TensorSpec, found: Array) -> Array:
    return found.reshape(-1, 1) if _alone(spec, found) else found


def _default(spec: TensorSpec, data: Any, arrived: int) -> Array:
    """What a request gives for an input that has a default."""
    array = _array(spec, data)
    check_shape(spec, list(array.shape), {}, arrived)
    return array


def _decoded(body: bytes, kind: type[_R]) -> _R:
    try:
        request: _R = cut_out(body, kind) if kind is _LargeRequest else decoded(body, kind)
    except NOT_JSON as error:
        raise Refusal(400, f"not a predict request: {error}") from None
    return request


def columns(instances: list[Any], names: list[str]) -> dict[str, list[Any]]:
    """The values of each input, in order. Raises Refusal for instances that are not alike."""
    if not instances:
        raise Refusal(400, "there are no instances")
    if all(isinstance(row, dict) and row.keys() == set(names) for row in instances):
        return {name: [row[name] for row in instances] for name in names}
    if len(names) == 1 and not any(isinstance(row, dict) and names[0] in row for row in instances):
        return {names[0]: instances}
    raise Refusal(400, _odd_rows(names))


def _odd_rows(names: list[str]) -> str:
    return f"every instance must be an object with {', '.join(names)}, and nothing else"


def status(name: str, states: Sequence[tuple[int, str, str]], ready: bool) -> bytes:
    """Versions, their states and what is wrong; `name` and `ready` are what KServe's V1 asks at the same path."""
    rows = [
        {
            "version": str(version),
            "state": state,
            "status": {"error_code": "UNAVAILABLE" if wrong else "OK", "error_message": wrong},
        }
        for version, state, wrong in states
    ]
    return msgspec.json.encode({"model_version_status": rows, "name": name, "ready": ready})


def metadata(name: str, version: int, engine: Engine) -> bytes:
    """The signature, as TensorFlow Serving describes it."""
    signature = {
        "inputs": {spec.name: _described(spec) for spec in engine.inputs},
        "outputs": {spec.name: _described(spec) for spec in engine.outputs},
        "method_name": "tensorflow/serving/predict",
    }
    return msgspec.json.encode(
        {
            "model_spec": {"name": name, "signature_name": "", "version": str(version)},
            "metadata": {"signature_def": {"signature_def": {_SIGNATURE: signature}}},
        }
    )


def _described(spec: TensorSpec) -> dict[str, Any]:
    dims = [{"size": str(size if isinstance(size, int) else -1), "name": ""} for size in spec.shape]
    return {"dtype": _DT[spec.dtype], "tensor_shape": {"dim": dims, "unknown_rank": False}, "name": spec.name}

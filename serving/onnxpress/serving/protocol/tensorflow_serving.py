"""TensorFlow Serving's REST format: `instances` or `inputs` in, `predictions` or `outputs` out.

A string may come as `{"b64": ...}`. NaN and the infinities are written as null, where TensorFlow Serving writes words
that are no JSON.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from onnxpress.core import special_values
from onnxpress.core.arrays import Array
from onnxpress.core.tensors import FLOATS, TensorSpec
from onnxpress.serving.engine import Engine
from onnxpress.serving.engine.dtypes import array_dtype
from onnxpress.serving.exchange import Headers
from onnxpress.serving.protocol.inputs import Inputs
from onnxpress.serving.protocol.refusal import Refusal
from onnxpress.serving.protocol.requests import Reader
from onnxpress.serving.protocol.shapes import check_shape

if TYPE_CHECKING:
    from onnxpress.serving.protocol.responses import Writer

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


class _Rows:
    """The answer row by row: a value each, or an object each where the model has several outputs."""

    def write(self, writer: Writer, inputs: Inputs, answers: Sequence[Array]) -> tuple[bytes, Headers]:
        """Raises ValueError where an output has no rows to be cut into."""
        for spec, answer in zip(writer.outputs, answers, strict=True):
            if not answer.ndim or len(answer) != inputs.shapes[0][0]:
                raise ValueError(
                    f"the output {spec.name!r} has no row for each instance; ask with inputs, not instances"
                )
        columns = [answer.tolist() for answer in answers]
        if len(columns) == 1:
            return msgspec.json.encode({"predictions": columns[0]}), ()
        names = [spec.name for spec in writer.outputs]
        rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
        return msgspec.json.encode({"predictions": rows}), ()


class _Columns:
    """The answer output by output: the one tensor, or an object of them."""

    def write(self, writer: Writer, inputs: Inputs, answers: Sequence[Array]) -> tuple[bytes, Headers]:
        columns = {spec.name: answer.tolist() for spec, answer in zip(writer.outputs, answers, strict=True)}
        return msgspec.json.encode({"outputs": columns if len(columns) > 1 else next(iter(columns.values()))}), ()


def read(reader: Reader, body: bytes) -> Inputs:
    """Read a predict request. Raises Refusal saying what is wrong with which input."""
    try:
        request = msgspec.json.decode(body, type=_Request)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise Refusal(400, f"not a predict request: {error}") from None
    if request.signature_name not in ("", _SIGNATURE):
        raise Refusal(400, f"there is no signature {request.signature_name[:80]!r}; there is: {_SIGNATURE}")
    names = [spec.name for spec in reader.specs]
    if (request.instances is _NOT_GIVEN) == (request.inputs is _NOT_GIVEN):
        raise Refusal(400, "a predict request has either instances or inputs")
    if isinstance(request.instances, list):
        given, form = _columns(request.instances, names), _Rows()
    else:
        given = request.inputs
        if len(names) == 1 and (not isinstance(given, dict) or given.keys() == {"b64"} != set(names)):
            given = {names[0]: given}
        form = _Columns()  # type: ignore[assignment]
    if not isinstance(given, dict) or set(given) != set(names):
        raise Refusal(400, f"the model takes {', '.join(map(str, reader.specs))}; give each by its name, and no other")
    values, shapes, sizes = [], [], dict[str, int]()
    for spec in reader.specs:
        array = _array(spec, given[spec.name])
        check_shape(spec, list(array.shape), sizes, len(body))
        values.append(array.ravel())
        shapes.append(list(array.shape))
    return reader.inputs(values, shapes, None, None, form)


def _columns(instances: list[Any], names: list[str]) -> dict[str, list[Any]]:
    if not instances:
        raise Refusal(400, "there are no instances")
    if all(isinstance(row, dict) and row.keys() == set(names) for row in instances):
        return {name: [row[name] for row in instances] for name in names}
    if len(names) == 1:
        return {names[0]: instances}
    raise Refusal(400, f"every instance must be an object with {', '.join(names)}, and nothing else")


def _array(spec: TensorSpec, data: Any) -> Array:
    if spec.dtype == "string":
        data = _texts(spec, data)
    kinds = "iuf" if spec.dtype in FLOATS else {"bool": "b", "string": "O"}.get(spec.dtype, "iu")
    try:
        with np.errstate(over="raise"):
            # numpy would read "1" and true as 1: what JSON meant is looked at first.
            plain = np.asarray(data, object if spec.dtype == "string" else None)
            if plain.size and plain.dtype.kind not in kinds:
                raise Refusal(400, f"the values of {spec.name!r} are no {spec.dtype}")
            array: Array = np.asarray(data, array_dtype(spec.dtype))
    except (ValueError, TypeError, OverflowError, FloatingPointError) as error:
        raise Refusal(400, f"the values of {spec.name!r} make no {spec.dtype} tensor: {error}") from None
    if spec.dtype == "string" and any(not isinstance(text, str) for text in array.ravel().tolist()):
        raise Refusal(400, f"the values of {spec.name!r} are no strings in a regular shape")
    if spec.refuses and (what := special_values.refused(spec, array)):
        raise Refusal(400, what)
    return array


def _texts(spec: TensorSpec, data: Any, axis: int = 0) -> Any:
    if isinstance(data, list):
        if axis == len(spec.shape):
            raise Refusal(400, f"the values of {spec.name!r} have more axes than {spec}")
        return [_texts(spec, item, axis + 1) for item in data]
    if isinstance(data, dict) and data.keys() == {"b64"}:
        try:
            return base64.b64decode(data["b64"], validate=True).decode()
        except (binascii.Error, TypeError, ValueError):
            raise Refusal(400, f"a b64 of {spec.name!r} is not base64 of UTF-8") from None
    return data


def status(versions: Sequence[int]) -> bytes:
    """The versions that are served."""
    fine = {"error_code": "OK", "error_message": ""}
    rows = [{"version": str(version), "state": "AVAILABLE", "status": fine} for version in reversed(versions)]
    return msgspec.json.encode({"model_version_status": rows})


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

"""Arrays as the bodies of the Open Inference Protocol V2, both ways: binary behind the JSON, or all of it JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData, ServerError
from onnxpress.core.tensors import FLOATS, TensorSpec
from onnxpress.serving.client.http import Answer
from onnxpress.serving.engine.dtypes import array_dtype
from onnxpress.serving.protocol.binary import from_bytes, to_bytes
from onnxpress.serving.protocol.datatypes import DATATYPE_OF
from onnxpress.serving.protocol.refusal import Refusal

DTYPE_OF = {datatype: dtype for dtype, datatype in DATATYPE_OF.items()}
_HEADER = "inference-header-content-length"


class _Output(msgspec.Struct):
    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, Any] | None = None
    data: Any = None


class _Outputs(msgspec.Struct):
    outputs: list[_Output]


def write(
    specs: Sequence[TensorSpec], arrays: Mapping[str, Array], outputs: Sequence[str] | None, *, binary: bool
) -> tuple[dict[str, str], list[bytes]]:
    """An inference request: its headers, and its body in parts. Raises BadData for what JSON cannot say."""
    inputs, behind = [], []
    for spec in specs:
        array = arrays[spec.name]
        tensor = {"name": spec.name, "datatype": DATATYPE_OF[spec.dtype], "shape": array.shape}
        if binary:
            behind.append(to_bytes(spec.dtype, array))
            tensor["parameters"] = {"binary_data_size": len(behind[-1])}
        else:
            tensor["data"] = _values(spec, array)
        inputs.append(tensor)
    document: dict[str, Any] = {"inputs": inputs}
    if binary:
        document["parameters"] = {"binary_data_output": True}
    if outputs is not None:
        wanted: dict[str, Any] = {"parameters": {"binary_data": True}} if binary else {}
        document["outputs"] = [{"name": name, **wanted} for name in outputs]
    text = msgspec.json.encode(document)
    if not binary:
        return {"content-type": "application/json"}, [text]
    return {"content-type": "application/octet-stream", _HEADER: str(len(text))}, [text, *behind]


def _values(spec: TensorSpec, array: Array) -> list[Any]:
    if spec.dtype in FLOATS and np.isinf(array).any():
        raise BadData(f"{spec.name!r} holds an infinity, which JSON cannot say", hint="ask with binary tensors")
    values: list[Any] = array.ravel().tolist()  # NaN becomes null, which is how the protocol's servers read it
    return values


def read(answer: Answer) -> dict[str, Array]:
    """Output name → array, writable. Raises ServerError where the answer is not as the protocol says."""
    try:
        content = memoryview(answer.body)
        length = int(answer.headers.get(_HEADER, len(content)))
        document = msgspec.json.decode(content[:length], type=_Outputs)
        return dict(_arrays(document.outputs, content[length:]))
    except (msgspec.MsgspecError, ValueError, TypeError, OverflowError) as error:
        raise ServerError(f"the answer is not one of the Open Inference Protocol: {error}", status=200) from None


def _arrays(outputs: Sequence[_Output], behind: memoryview) -> Iterator[tuple[str, Array]]:
    start = 0
    for output in outputs:
        if output.datatype not in DTYPE_OF:
            raise ValueError(f"{output.name!r} has the datatype {output.datatype}, which no array here can hold")
        size = (output.parameters or {}).get("binary_data_size")
        if size is None:
            yield output.name, _from_values(output)
        else:
            yield output.name, _from_bytes(output, behind[start : start + size])
            start += size
    if start != len(behind):
        raise ValueError(f"{len(behind) - start} bytes belong to no output")


def _from_values(output: _Output) -> Array:
    if output.data is None:
        raise ValueError(f"{output.name!r} has no data")
    return np.array(output.data, array_dtype(DTYPE_OF[output.datatype])).reshape(output.shape)


def _from_bytes(output: _Output, content: memoryview) -> Array:
    spec = TensorSpec(name=output.name, dtype=DTYPE_OF[output.datatype], shape=())
    count = math.prod(output.shape)
    try:
        if count > len(content):  # no value has less than a byte: nothing is allocated for what is only said
            raise Refusal(0, "too few")
        return from_bytes(spec, count, content).reshape(output.shape)
    except Refusal:
        raise ValueError(
            f"{output.name!r} has {len(content)} bytes, which are no {output.shape} of {output.datatype}"
        ) from None

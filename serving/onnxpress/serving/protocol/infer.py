"""Inference requests and responses in JSON.

The codec is made once per model. A request that is written the usual way (flat data, the declared names, dtypes and
shapes) is decoded by a typed decoder in one pass; anything else goes through a careful second reading, which accepts
what the protocol allows besides and says exactly what is wrong with the rest.

NaN and infinities have no JSON form: they are written as null, and null is read as NaN in a float tensor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

import msgspec
import numpy as np

from onnxpress.core.tensors import TensorSpec
from onnxpress.serving.protocol.datatypes import DATATYPE_OF, FLOATS
from onnxpress.serving.protocol.errors import Refusal

Array = np.ndarray[Any, np.dtype[Any]]
_encode = msgspec.json.Encoder().encode
_SHAPES_KEPT = 256
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""what msgspec raises on what is not JSON, not UTF-8, or nested thousands deep"""
_MOST_EMPTY_ROWS = 1 << 20
"""an empty tensor may claim any size beside its zero; a model that reduces over the zero would fill it"""


class _Output(msgspec.Struct):
    name: str


class _Floats(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: list[float]


class _Integers(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: list[int]


class _Texts(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: list[str]


class _Tensor(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: msgspec.Raw


class _FloatRequest(msgspec.Struct):
    inputs: list[_Floats]
    id: str | None = None
    outputs: list[_Output] | None = None


class _IntegerRequest(msgspec.Struct):
    inputs: list[_Integers]
    id: str | None = None
    outputs: list[_Output] | None = None


class _TextRequest(msgspec.Struct):
    inputs: list[_Texts]
    id: str | None = None
    outputs: list[_Output] | None = None


class _AnyRequest(msgspec.Struct):
    inputs: list[_Tensor]
    id: str | None = None
    outputs: list[_Output] | None = None


class Inputs:
    """The decoded inputs of one request: `values` in the order of the model's inputs, flat lists or arrays.

    Two requests can share a run when their `tails` (shapes but for the first axis) are equal.
    """

    __slots__ = ("id", "outputs", "rows", "shapes", "tails", "values")

    def __init__(
        self,
        values: list[Any],
        shapes: list[list[int]],
        tails: Any,
        id: str | None,  # noqa: A002 - the protocol's word
        outputs: list[str] | None,
    ) -> None:
        self.values, self.shapes, self.tails, self.id, self.outputs = values, shapes, tails, id, outputs
        self.rows = shapes[0][0] if shapes and shapes[0] else 1


class Codec:
    """Reads requests for, and writes responses of, one version of one model."""

    def __init__(self, name: str, version: int, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> None:
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)
        self._by_name = {spec.name: spec for spec in inputs}
        self._output_index = {spec.name: number for number, spec in enumerate(outputs)}
        for spec in (*inputs, *outputs):
            if spec.dtype not in DATATYPE_OF:
                raise ValueError(f"{spec} has a dtype that JSON requests cannot carry")
        self._decode = _fast_decoder(inputs)
        self._dtypes = [np.dtype(object if spec.dtype == "string" else spec.dtype) for spec in inputs]
        # What the usual single-input request must look like, for the one-pass check.
        first = self.inputs[0] if len(self.inputs) == 1 else None
        self._only = first if first is not None and first.shape and isinstance(first.shape[0], str) else None
        tail = first.shape[1:] if first is not None else ()
        self._tail = list(tail) if all(isinstance(size, int) and size for size in tail) else None
        self._row = math.prod(self._tail) if self._tail is not None else 0
        self._datatype = DATATYPE_OF[first.dtype] if first is not None else ""
        self._start = b'{"model_name":%b,"model_version":"%d",' % (_encode(name), version)
        self._heads = [
            b'{"name":%b,"datatype":"%b","shape":' % (_encode(spec.name), DATATYPE_OF[spec.dtype].encode())
            for spec in outputs
        ]
        self._shapes: dict[tuple[int, ...], bytes] = {}

    def decode(self, body: bytes) -> Inputs:
        """Read a request. Raises Refusal(400) saying which field of which tensor is wrong, and how it should be."""
        if self._decode is not None and self._only is not None and self._tail is not None:
            try:
                request = self._decode(body)
            except _UNREADABLE:
                return self._decode_carefully(body)
            tensors = request.inputs
            if len(tensors) == 1:
                tensor = tensors[0]
                shape = tensor.shape
                if (
                    shape
                    and shape[1:] == self._tail
                    and len(tensor.data) == shape[0] * self._row
                    and tensor.name == self._only.name
                    and tensor.datatype == self._datatype
                ):
                    outputs = None if request.outputs is None else self._selected(request.outputs)
                    return Inputs([tensor.data], [shape], None, request.id, outputs)
        return self._decode_carefully(body)

    def _decode_carefully(self, body: bytes) -> Inputs:
        try:
            request = msgspec.json.decode(body, type=_AnyRequest)
        except msgspec.ValidationError as error:
            raise Refusal(400, f"the request is not an inference request: {error}") from None
        except _UNREADABLE as error:
            raise Refusal(400, f"the request is not JSON: {error}") from None
        given: dict[str, _Tensor] = {}
        for tensor in request.inputs:
            if tensor.name not in self._by_name:
                known = ", ".join(self._by_name)
                raise Refusal(400, f"there is no input {tensor.name!r}; the model takes: {known}")
            if tensor.name in given:
                raise Refusal(400, f"the input {tensor.name!r} is given twice")
            given[tensor.name] = tensor
        values, shapes, sizes = [], [], dict[str, int]()
        for spec in self.inputs:
            if spec.name not in given:
                raise Refusal(400, f"the input {spec.name!r} is missing; the model takes {spec}")
            tensor = given[spec.name]
            wanted = DATATYPE_OF[spec.dtype]
            if tensor.datatype != wanted:
                raise Refusal(400, f"the input {spec.name!r} has datatype {tensor.datatype!r}; it must be {wanted}")
            _check_shape(spec, tensor.shape, sizes)
            values.append(_array(spec, tensor))
            shapes.append(tensor.shape)
        outputs = None if request.outputs is None else self._selected(request.outputs)
        tails = tuple(tuple(shape[1:]) for shape in shapes)
        return Inputs(values, shapes, tails if self._tail is None else None, request.id, outputs)

    def _selected(self, outputs: list[_Output]) -> list[str] | None:
        names = [output.name for output in outputs]
        for name in names:
            if name not in self._output_index:
                raise Refusal(400, f"there is no output {name!r}; the model answers: {', '.join(self._output_index)}")
        return names or None

    def feeds(self, batch: Sequence[Inputs]) -> dict[str, Array]:
        """The arrays of one run: the rows of every request one after the other. Raises Refusal where a value is off."""
        feeds = {}
        for number, (spec, dtype) in enumerate(zip(self.inputs, self._dtypes, strict=True)):
            parts = [inputs.values[number] for inputs in batch]
            try:
                if all(type(part) is list for part in parts):
                    flat = parts[0] if len(parts) == 1 else list(chain.from_iterable(parts))
                    shape = batch[0].shapes[number]
                    feeds[spec.name] = np.array(flat, dtype).reshape(-1 if flat else shape[0], *shape[1:])
                else:
                    arrays = [
                        np.array(part, dtype).reshape(inputs.shapes[number]) if type(part) is list else part
                        for part, inputs in zip(parts, batch, strict=True)
                    ]
                    feeds[spec.name] = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
            except (OverflowError, ValueError, TypeError) as error:
                raise Refusal(400, f"the data of {spec.name!r} do not fit {DATATYPE_OF[spec.dtype]}: {error}") from None
        return feeds

    def encode(self, batch: Sequence[Inputs], answers: Sequence[Array]) -> Iterator[bytes]:
        """One response body per request, in order, from the outputs of the common run."""
        if len(batch) == 1:
            yield self._one(batch[0], [(y.shape, y.ravel().tolist()) for y in answers])
            return
        # One pass over each output for the whole batch: a list per row, joined where a request has several rows.
        rows = [y.reshape(len(y), -1).tolist() for y in answers]
        tails = [y.shape[1:] for y in answers]
        start = 0
        for inputs in batch:
            count = inputs.rows
            if count == 1:
                yield self._one(inputs, [((1, *tail), lists[start]) for tail, lists in zip(tails, rows, strict=True)])
            else:
                parts = [list(chain.from_iterable(lists[start : start + count])) for lists in rows]
                yield self._one(inputs, [((count, *tail), part) for tail, part in zip(tails, parts, strict=True)])
            start += count

    def _one(self, inputs: Inputs, tensors: list[tuple[tuple[int, ...], list[Any]]]) -> bytes:
        pieces = [self._start]
        if inputs.id is not None:
            pieces.append(b'"id":%b,' % _encode(inputs.id))
        pieces.append(b'"outputs":[')
        chosen = range(len(tensors)) if inputs.outputs is None else [self._output_index[n] for n in inputs.outputs]
        for place, number in enumerate(chosen):
            shape, data = tensors[number]
            if place:
                pieces.append(b",")
            pieces += (self._heads[number], self._shape(shape), b',"data":', _encode(data), b"}")
        pieces.append(b"]}")
        return b"".join(pieces)

    def _shape(self, shape: tuple[int, ...]) -> bytes:
        written = self._shapes.get(shape)
        if written is None:
            written = _encode(shape)
            if len(self._shapes) < _SHAPES_KEPT:
                self._shapes[shape] = written
        return written


def _fast_decoder(inputs: Sequence[TensorSpec]) -> Callable[[bytes], Any] | None:
    """A typed decoder where all inputs are of one kind; None where only the careful reading will do."""
    kinds = {"float" if spec.dtype in FLOATS else spec.dtype for spec in inputs}
    if kinds == {"float"}:
        return msgspec.json.Decoder(_FloatRequest).decode
    if kinds == {"string"}:
        return msgspec.json.Decoder(_TextRequest).decode
    if kinds and "bool" not in kinds and "string" not in kinds and "float" not in kinds:
        return msgspec.json.Decoder(_IntegerRequest).decode
    return None


def _check_shape(spec: TensorSpec, shape: list[int], sizes: dict[str, int]) -> None:
    """Against the spec, and named dimensions against one another across the inputs (`sizes` collects them)."""
    if len(shape) != len(spec.shape):
        raise Refusal(400, f"the input {spec.name!r} has shape {shape}; it must have {len(spec.shape)} axes: {spec}")
    for axis, (size, wanted) in enumerate(zip(shape, spec.shape, strict=True)):
        if size < 0:
            raise Refusal(400, f"the input {spec.name!r} has shape {shape}: a size cannot be negative")
        expected = sizes.setdefault(wanted, size) if isinstance(wanted, str) else wanted
        if size != expected:
            reason = f"{wanted!r} is {expected} in another input" if isinstance(wanted, str) else f"it must be {wanted}"
            raise Refusal(400, f"the input {spec.name!r} has shape {shape}: axis {axis} is {size}, but {reason}")
    if 0 in shape and max(shape) > _MOST_EMPTY_ROWS:
        raise Refusal(400, f"the input {spec.name!r} is empty and has shape {shape}; {_MOST_EMPTY_ROWS} is the most")


def _array(spec: TensorSpec, tensor: _Tensor) -> Array:
    """The data of one tensor, flat or nested as its shape says, every value of the declared kind."""
    try:
        data = msgspec.json.decode(tensor.data)
    except _UNREADABLE as error:
        raise Refusal(400, f"the data of {spec.name!r} are not JSON: {error}") from None
    flat = _flatten(spec, data, tensor.shape)
    count = math.prod(tensor.shape)
    if len(flat) != count:
        raise Refusal(400, f"the input {spec.name!r} has {len(flat)} values; its shape {tensor.shape} wants {count}")
    check = _checks(spec.dtype)
    for value in flat:
        if not check(value):
            shown = _encode(value)[:40].decode(errors="replace")
            raise Refusal(400, f"the data of {spec.name!r} hold {shown}, which is no {DATATYPE_OF[spec.dtype]}")
    dtype = object if spec.dtype == "string" else spec.dtype
    try:
        return np.array(flat, dtype).reshape(tensor.shape)
    except (OverflowError, ValueError, TypeError) as error:
        raise Refusal(400, f"the data of {spec.name!r} do not fit {DATATYPE_OF[spec.dtype]}: {error}") from None


def _flatten(spec: TensorSpec, data: Any, shape: list[int]) -> list[Any]:
    if not isinstance(data, list):
        raise Refusal(400, f"the data of {spec.name!r} must be an array")
    flat = data
    depth = 0
    while any(isinstance(item, list) for item in flat):
        depth += 1
        width = shape[depth] if depth < len(shape) else None
        if depth >= len(shape) or not all(isinstance(item, list) and len(item) == width for item in flat):
            raise Refusal(400, f"the nested data of {spec.name!r} do not have the shape {shape}")
        flat = list(chain.from_iterable(flat))
    if depth and (depth != len(shape) - 1 or len(data) != shape[0]):
        raise Refusal(400, f"the nested data of {spec.name!r} do not have the shape {shape}")
    return flat


def _checks(dtype: str) -> Callable[[Any], bool]:
    if dtype in FLOATS:
        return lambda value: value is None or (isinstance(value, int | float) and not isinstance(value, bool))
    if dtype == "string":
        return lambda value: isinstance(value, str)
    if dtype == "bool":
        return lambda value: isinstance(value, bool) or value in (0, 1)
    return lambda value: isinstance(value, int) and not isinstance(value, bool)

"""ModelInferRequest and ModelInferResponse of gRPC: what stands before the raw contents is known by its bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from onnxpress.core.arrays import Array
from onnxpress.core.onnx_graph import wire
from onnxpress.core.tensors import TensorSpec
from onnxpress.serving.exchange import Headers
from onnxpress.serving.protocol import binary, parameters
from onnxpress.serving.protocol.datatypes import DATATYPE_OF
from onnxpress.serving.protocol.inputs import Inputs
from onnxpress.serving.protocol.protobuf import Reading, decoded, field, varint
from onnxpress.serving.protocol.refusal import Refusal
from onnxpress.serving.protocol.requests import Reader
from onnxpress.serving.protocol.responses import Writer
from onnxpress.serving.protocol.shapes import check_shape, check_sums
from onnxpress.serving.protocol.timeouts import timeout_of
from onnxpress.serving.protocol.typed_contents import from_contents, has_field, to_contents
from onnxpress.serving.protocol.wire import AnyRequest, AnyTensor, Output

_PARAMETER: Final[Reading] = {
    1: ("bool", bool), 2: ("int64", int), 3: ("string", str), 4: ("double", float), 5: ("uint64", int),
}  # fmt: skip
PARAMETERS: Final[Any] = [{1: ("key", str), 2: ("value", _PARAMETER)}]
_INPUT: Final[Reading] = {
    1: ("name", str), 2: ("datatype", str), 3: ("shape", [int]), 4: ("parameters", PARAMETERS), 5: ("contents", bytes),
}  # fmt: skip
_REQUEST: Final[Reading] = {
    1: ("model_name", str), 2: ("model_version", str), 3: ("id", str), 4: ("parameters", PARAMETERS),
    5: ("inputs", [_INPUT]), 6: ("outputs", [{1: ("name", str), 2: ("parameters", PARAMETERS)}]), 7: ("raw", [bytes]),
}  # fmt: skip
_WHAT: Final = "ModelInferRequest"
_RAW_KEY: Final = 0x3A
"""of raw_input_contents"""
_RAW_ANSWER: Final = b"\x32"
"""of raw_output_contents"""
_RAW_OF_SIZE: Final = [_RAW_ANSWER + varint(size) for size in range(1024)]
_MOST: Final = 20_000
"""fields before the raw contents"""
_KEPT: Final = 256
_KEPT_BYTES: Final = 4096
_UNSIGNED: Final = 1 << 64


def parameters_of(entries: Sequence[Mapping[str, Any]] | None) -> dict[str, Any] | None:
    """Names → values, of what was read by PARAMETERS."""
    if not entries:
        return None
    found: dict[str, Any] = {}
    for entry in entries:
        value = None
        for kind, one in entry.get("value", {}).items():
            value = one + _UNSIGNED if kind == "uint64" and one < 0 else one
        found[entry.get("key", "")] = value
    return found


class Opening:
    """A request but for its raw contents. `contents`: of each input, where they are typed.

    `plan`: how the rest is read for the model that it was read for last. `place`: where it goes, found out at an `age`
    of the repository.
    """

    __slots__ = ("age", "contents", "model", "place", "plan", "request", "version")

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.model: str = document.get("model_name", "")
        self.version: str | None = document.get("model_version") or None
        inputs = document.get("inputs", [])
        self.contents: list[memoryview | None] = [one.get("contents") for one in inputs]
        self.request = AnyRequest(
            inputs=[
                AnyTensor(
                    name=one.get("name", ""),
                    shape=one.get("shape", []),
                    datatype=one.get("datatype", ""),
                    parameters=parameters_of(one.get("parameters")),
                )
                for one in inputs
            ],
            id=document.get("id") or None,
            outputs=[
                Output(name=one.get("name", ""), parameters=parameters_of(one.get("parameters")))
                for one in document.get("outputs", [])
            ]
            or None,
            parameters=parameters_of(document.get("parameters")),
        )
        self.plan: Plan | None = None
        self.place: Any = None
        self.age = 0


class Plan:
    """How the raw contents of requests with one opening are read by one reader.

    `order` is (input, spec, values, bytes), where bytes is -1 for those that do not lie as numpy wants them. The others
    become an array when the run begins, in one go for all requests of the run.
    """

    __slots__ = ("inputs", "order", "reader")

    def __init__(self, reader: Reader, inputs: Inputs, order: list[tuple[int, TensorSpec, int]]) -> None:
        self.reader, self.inputs = reader, inputs
        self.order: list[tuple[int, TensorSpec, int, int]] = [
            (place, spec, count, binary.plain_size(spec, count)) for place, spec, count in order
        ]


class InferMessage:
    """One request: its opening, and its raw contents."""

    __slots__ = ("opening", "raw")

    def __init__(self, opening: Opening, raw: list[memoryview]) -> None:
        self.opening, self.raw = opening, raw

    def read(self, reader: Reader, body: bytes) -> Inputs:
        """The inputs, as a batcher wants them. Raises Refusal."""
        plan, raw = self.opening.plan, self.raw
        if plan is None or plan.reader is not reader or len(raw) != len(plan.order):
            return _carefully(reader, self.opening, raw, len(body))
        values: list[Any] = []
        for place, spec, count, size in plan.order:
            content = raw[place]
            values.append(content if len(content) == size else binary.from_bytes(spec, count, content))
        like = plan.inputs
        inputs = Inputs(values, like.shapes, like.rows, like.size, like.tails, like.id, like.outputs, like.form)
        inputs.timeout = like.timeout
        return inputs


class InferMessages:
    """Reads requests. Clients repeat themselves: an opening that was read once is known by its bytes."""

    __slots__ = ("_before", "_known", "_last")

    def __init__(self) -> None:
        self._known: dict[bytes, Opening] = {}
        self._before = b""
        self._last: Opening | None = None  # whose bytes these are

    def read(self, body: bytes) -> InferMessage:
        """The request. Raises Refusal for what is none."""
        try:
            end, opening = len(self._before), self._last
            # It is whole fields, so what begins with it and goes on with raw contents begins with the same fields.
            if opening is None or len(body) <= end or body[end] != _RAW_KEY or not body.startswith(self._before):
                end, opening = _opening_end(body), None
            raw: list[memoryview] = []
            content = memoryview(body)
            at, size = end, len(body)
            while at < size and body[at] == _RAW_KEY and len(raw) <= _MOST:
                length = body[at + 1]
                at += 2
                if length > 127:
                    length, at = wire.varint(body, at - 1)
                if length > size - at:
                    raise IndexError
                raw.append(content[at : at + length])
                at += length
        except Exception:
            raise Refusal(400, f"the message is no {_WHAT}, or is cut off") from None
        if at < size or len(raw) > _MOST:  # in another order than others write it
            document = decoded(_REQUEST, body, _WHAT)
            return InferMessage(Opening(document), document.get("raw", []))
        if opening is not None:
            return InferMessage(opening, raw)
        before = body[:end]
        opening = self._known.get(before)
        if opening is None:
            opening = Opening(decoded(_REQUEST, before, _WHAT))
            if end <= _KEPT_BYTES and raw:
                if len(self._known) >= _KEPT:
                    self._known.clear()
                self._known[before] = opening
        if end <= _KEPT_BYTES and raw:
            self._before, self._last = before, opening
        return InferMessage(opening, raw)


def _opening_end(body: bytes) -> int:
    """Where the first raw contents begin. Raises an exception where the bytes are no message."""
    at, size = 0, len(body)
    for _ in range(_MOST):
        if at >= size or body[at] == _RAW_KEY:
            break
        kind = body[at] & 7
        if body[at] > 127:
            _, at = wire.varint(body, at)
        else:
            at += 1
        if kind == 2:
            length = body[at]
            at += 1
            if length > 127:
                length, at = wire.varint(body, at - 1)
            at += length
        elif kind == 0:
            _, at = wire.varint(body, at)
        elif kind == 1 or kind == 5:
            at += 8 if kind == 1 else 4
        else:
            raise IndexError
    if at > size:
        raise IndexError
    return at


def _carefully(reader: Reader, opening: Opening, raw: list[memoryview], arrived: int) -> Inputs:
    """The inputs of a request whose opening is not known; it is from then on, where it may be."""
    request = opening.request
    if request.parameters is not None:
        parameters.check_request(request.parameters)
    given = reader.given(request.inputs, raw=True)
    typed = any(contents is not None for contents in opening.contents)
    if raw and (typed or len(raw) != len(request.inputs)):
        said = f"there are {len(raw)} raw_input_contents for {len(request.inputs)} inputs"
        raise Refusal(400, "an input has contents beside the raw_input_contents of all" if typed else said)
    place = {tensor.name: number for number, tensor in enumerate(request.inputs)}
    sizes: dict[str, int] = {}
    values, shapes, order = [], [], []
    for spec in reader.specs:
        values.append(_array(spec, opening, raw, place[spec.name], given[spec.name].shape, sizes, arrived))
        shapes.append(given[spec.name].shape)
        order.append((place[spec.name], spec, math.prod(shapes[-1])))
    check_sums(reader.specs, sizes)
    selected = reader.selected(request.outputs or [])
    asked = [output.parameters for output in request.outputs or []]
    chosen = range(len(reader.outputs)) if selected is None else selected
    counts = {
        number: parameters.classes_of(reader.outputs[number], own)
        for number, own in zip(chosen, asked or [None] * len(chosen), strict=True)
    }
    classes = {number: count for number, count in counts.items() if count}
    form = InferResponse(classes, typed=typed and all(has_field(reader.outputs[number].dtype) for number in chosen))
    inputs = reader.inputs(values, shapes, request.id, selected, form)
    inputs.timeout = timeout_of(request.parameters)
    found = {}
    for spec in reader.overrides.specs:
        if spec.name in given:
            shape = given[spec.name].shape
            found[spec.name] = _array(spec, opening, raw, place[spec.name], shape, sizes, arrived).reshape(shape)
    if found:
        reader.overrides.set(inputs, found)
    elif raw and all(count for _, _, count in order):
        opening.plan = Plan(reader, _bare(inputs), order)
    return inputs


def _bare(inputs: Inputs) -> Inputs:
    """The same without its values, which need not live on."""
    bare = Inputs([], inputs.shapes, inputs.rows, inputs.size, inputs.tails, inputs.id, inputs.outputs, inputs.form)
    bare.timeout = inputs.timeout
    return bare


def _array(
    spec: TensorSpec,
    opening: Opening,
    raw: list[memoryview],
    place: int,
    shape: list[int],
    sizes: dict[str, int],
    arrived: int,
) -> Array:
    """One input's values, flat. Raises Refusal."""
    check_shape(spec, shape, sizes, arrived)
    count = math.prod(shape)
    if raw:
        return binary.from_bytes(spec, count, raw[place])
    contents = opening.contents[place]
    if contents is None and count:
        raise Refusal(400, f"the input {spec.name!r} has no data, neither contents nor raw_input_contents")
    return from_contents(spec, count, contents or memoryview(b"")) if has_field(spec.dtype) else _nothing(spec)


def _nothing(spec: TensorSpec) -> Array:
    raise Refusal(400, f"{DATATYPE_OF[spec.dtype]} has no typed contents: send {spec.name!r} in raw_input_contents")


Whole = tuple[bytes, int, tuple[int, ...]]
"""of one output of a batch: its bytes, those of a row, and a row's shape"""


class InferResponse:
    """The form of an answer that is a ModelInferResponse, with raw contents, or `typed` ones as its request had.

    `classes`: output → how many of its best classes are answered instead of its values.
    """

    __slots__ = ("_openings", "classes", "typed")

    def __init__(self, classes: Mapping[int, int], *, typed: bool) -> None:
        self.classes, self.typed = classes, typed
        self._openings: dict[tuple[tuple[int, ...], ...], bytes] = {}

    def write(self, writer: Writer, inputs: Inputs, answers: Sequence[Array]) -> tuple[bytes, Headers]:
        """The message, which has no headers."""
        if self.typed or self.classes:
            return self._written(writer, inputs, answers), ()
        chosen: Sequence[int] = range(len(answers)) if inputs.outputs is None else inputs.outputs
        parts = [self._opening(writer, inputs, chosen, tuple([answers[number].shape for number in chosen]))]
        for number in chosen:
            content = binary.to_bytes(writer.outputs[number].dtype, answers[number])
            parts += (_RAW_ANSWER, varint(len(content)), content)
        return b"".join(parts), ()

    def write_rows(
        self, writer: Writer, inputs: Inputs, answers: Sequence[Array], start: int, stop: int, shared: list[Whole]
    ) -> tuple[bytes, Headers]:
        """As `write`, of some rows of a batch. What all requests of the batch have in common is put into `shared`."""
        if self.typed or self.classes:
            return self._written(writer, inputs, [answer[start:stop] for answer in answers]), ()
        if not shared:
            for spec, answer in zip(writer.outputs, answers, strict=True):
                whole = b"" if spec.dtype == "string" else binary.to_bytes(spec.dtype, answer)
                shared.append((whole, len(whole) // max(1, len(answer)), answer.shape[1:]))
        chosen: Sequence[int] = range(len(answers)) if inputs.outputs is None else inputs.outputs
        rows = stop - start
        parts = [self._opening(writer, inputs, chosen, tuple([(rows, *shared[number][2]) for number in chosen]))]
        for number in chosen:
            dtype = writer.outputs[number].dtype
            if dtype == "string":
                content = binary.to_bytes(dtype, answers[number][start:stop])
            else:
                width = shared[number][1]
                content = shared[number][0][start * width : stop * width]
            size = len(content)
            parts.append(_RAW_OF_SIZE[size] if size < len(_RAW_OF_SIZE) else _RAW_ANSWER + varint(size))
            parts.append(content)
        return b"".join(parts), ()

    def _opening(
        self, writer: Writer, inputs: Inputs, chosen: Sequence[int], shapes: tuple[tuple[int, ...], ...]
    ) -> bytes:
        """What stands before the raw contents."""
        opening = self._openings.get(shapes)
        if opening is None:
            opening = _head(writer, inputs)
            for number, shape in zip(chosen, shapes, strict=True):
                spec = writer.outputs[number]
                opening += field(5, _output(spec.name, spec.dtype, shape))
            if len(self._openings) < _KEPT:
                self._openings[shapes] = opening
        return opening

    def _written(self, writer: Writer, inputs: Inputs, answers: Sequence[Array]) -> bytes:
        chosen: Sequence[int] = range(len(answers)) if inputs.outputs is None else inputs.outputs
        parts, behind = [_head(writer, inputs)], []
        for number in chosen:
            spec, answer = writer.outputs[number], answers[number]
            dtype = spec.dtype
            if number in self.classes:
                answer, dtype = binary.classified(writer, inputs, spec, answer, self.classes[number]), "string"
            described = _output(spec.name, dtype, answer.shape)
            if self.typed:
                described += field(5, to_contents(dtype, answer))
            else:
                behind.append(field(6, binary.to_bytes(dtype, answer)))
            parts.append(field(5, described))
        return b"".join(parts + behind)


def _head(writer: Writer, inputs: Inputs) -> bytes:
    opening = field(1, writer.name.encode()) + field(2, b"%d" % writer.version)
    return opening if inputs.id is None else opening + field(3, inputs.id.encode())


def _output(name: str, dtype: str, shape: tuple[int, ...]) -> bytes:
    described = field(1, name.encode()) + field(2, DATATYPE_OF[dtype].encode())
    sizes = b"".join([varint(size) for size in shape])
    return described + field(3, sizes) if sizes else described

"""TensorFlow Serving's gRPC messages: which model is meant, PredictRequest and PredictResponse, metadata and status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadModel
from onnxpress.core.onnx_graph import wire
from onnxpress.core.tensors import TensorSpec
from onnxpress.serving.engine import Engine
from onnxpress.serving.exchange import Headers
from onnxpress.serving.protocol.inputs import Inputs
from onnxpress.serving.protocol.protobuf import Reading, decoded, field, varint
from onnxpress.serving.protocol.refusal import Refusal, shown
from onnxpress.serving.protocol.requests import Reader
from onnxpress.serving.protocol.shapes import check_sums
from onnxpress.serving.protocol.tensor_protos import NUMBER_OF, dims, read, written
from onnxpress.serving.protocol.wire import Named

if TYPE_CHECKING:
    from onnxpress.serving.protocol.responses import Writer

SIGNATURE: Final = "serving_default"
_SPEC: Final[Reading] = {
    1: ("name", str), 2: ("version", {1: ("value", int)}), 3: ("signature_name", str), 4: ("version_label", str),
}  # fmt: skip
_ASKED: Final[Reading] = {1: ("model_spec", _SPEC)}
_METADATA: Final[Reading] = {1: ("model_spec", _SPEC), 2: ("metadata_field", [str])}
_STATES: Final = {"LOADING": 20, "AVAILABLE": 30, "UNLOADING": 40}
_UNAVAILABLE: Final = 14
_MOST: Final = 20_000
"""fields of a request"""
_MAP: Final = "type.googleapis.com/tensorflow.serving.SignatureDefMap"


class Asked:
    """The model that is asked: `version` is a number or a label, None for the newest."""

    __slots__ = ("name", "version")

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Raises Refusal where another signature is asked than the one that a model here has."""
        spec = document.get("model_spec", {})
        self.name: str = spec.get("name", "")
        self.version: str | None = spec.get("version_label") or None
        if "version" in spec:
            self.version = str(spec["version"].get("value", 0))
        signature = spec.get("signature_name", "")
        if signature not in ("", SIGNATURE):
            raise Refusal(400, f"there is no signature {shown(signature)}; there is: {SIGNATURE}")


def asked(body: bytes, what: str) -> Asked:
    """Of any of the requests, which all begin with it. Raises Refusal; `what` names the message there."""
    return Asked(decoded(_ASKED, body, what))


def asked_metadata(body: bytes) -> Asked:
    """Of a GetModelMetadataRequest, which must ask for what there is: the signature. Raises Refusal."""
    document = decoded(_METADATA, body, "GetModelMetadataRequest")
    fields = document.get("metadata_field", [])
    if not fields or any(name != "signature_def" for name in fields):
        raise Refusal(400, 'metadata_field must be "signature_def"; there is no other metadata')
    return Asked(document)


def read_predict(reader: Reader, body: bytes) -> Inputs:
    """The inputs of a PredictRequest. Raises Refusal."""
    given: dict[str, tuple[int, int]] = {}
    filtered: list[Named] = []
    try:
        for count, (key, start, stop) in enumerate(wire.fields(body, 0, len(body))):
            if count > _MOST:
                raise ValueError
            if key == 2 << 3 | wire.BYTES:
                name, place = _entry(body, start, stop)
                given[name] = place
            elif key == 3 << 3 | wire.BYTES:
                filtered.append(Named(name=body[start:stop].decode()))
    except (BadModel, ValueError):
        raise Refusal(400, "the message is no PredictRequest, or is cut off") from None
    known = {spec.name for spec in (*reader.specs, *reader.overrides.specs)}
    needed = {spec.name for spec in reader.specs}
    if not needed <= given.keys() <= known:
        takes = ", ".join(map(str, reader.specs))
        raise Refusal(400, f"the model takes {takes}; give each by its name, and no other")
    sizes: dict[str, int] = {}
    values: list[Array] = []
    shapes: list[list[int]] = []
    for spec in reader.specs:
        array = read(spec, body, *given[spec.name], sizes)
        values.append(array.ravel())
        shapes.append(list(array.shape))
    check_sums(reader.specs, sizes)
    inputs = reader.inputs(values, shapes, None, reader.selected(filtered), PredictResponse())
    optional = {
        spec.name: read(spec, body, *given[spec.name], sizes) for spec in reader.overrides.specs if spec.name in given
    }
    if optional:
        reader.overrides.set(inputs, optional)
    return inputs


def _entry(body: bytes, start: int, stop: int) -> tuple[str, tuple[int, int]]:
    """One of a map: its key, and where its value stands."""
    name, place = "", (stop, stop)
    for count, (key, at, end) in enumerate(wire.fields(body, start, stop)):
        if count > _MOST:
            raise ValueError
        if key == 1 << 3 | wire.BYTES:
            name = body[at:end].decode()
        elif key == 2 << 3 | wire.BYTES:
            place = (at, end)
    return name, place


class PredictResponse:
    """The form of an answer that is one."""

    __slots__ = ()

    def write(self, writer: Writer, inputs: Inputs, answers: Sequence[Array]) -> tuple[bytes, Headers]:
        """The message, which has no headers."""
        chosen: Sequence[int] = range(len(answers)) if inputs.outputs is None else inputs.outputs
        parts = []
        for number in chosen:
            spec = writer.outputs[number]
            parts.append(entry(1, spec.name, written(spec.dtype, answers[number])))
        return b"".join([*parts, field(2, model_spec(writer.name, writer.version))]), ()


def entry(number: int, key: str, value: bytes) -> bytes:
    """One of a map that is the field `number` of its message."""
    return field(number, field(1, key.encode()) + field(2, value))


def model_spec(name: str, version: int) -> bytes:
    """As answers have it."""
    return field(1, name.encode()) + field(2, b"\x08" + varint(version)) + field(3, SIGNATURE.encode())


def metadata(name: str, version: int, engine: Engine) -> bytes:
    """A GetModelMetadataResponse with the model's signature."""
    signature = b"".join([entry(1, spec.name, _described(spec)) for spec in engine.inputs])
    signature += b"".join([entry(2, spec.name, _described(spec)) for spec in engine.outputs])
    signature += field(3, b"tensorflow/serving/predict")
    packed = field(1, _MAP.encode()) + field(2, entry(1, SIGNATURE, signature))
    return field(1, field(1, name.encode()) + field(2, b"\x08" + varint(version))) + entry(2, "signature_def", packed)


def _described(spec: TensorSpec) -> bytes:
    shape = tuple([size if isinstance(size, int) else -1 for size in spec.shape])
    return field(1, spec.name.encode()) + b"\x10" + varint(NUMBER_OF[spec.dtype]) + field(3, dims(shape))


def status(states: Sequence[tuple[int, str, str]]) -> bytes:
    """A GetModelStatusResponse: versions, their states and what is wrong."""
    rows = []
    for version, state, wrong in states:
        said = b"\x08" + varint(_UNAVAILABLE) + field(2, wrong.encode()) if wrong else b""
        rows.append(field(1, b"\x08" + varint(version) + b"\x10" + varint(_STATES[state]) + field(3, said)))
    return b"".join(rows)

"""ModelStreamInferResponse of gRPC: one answer of a stream, or what went wrong with one request of it."""

from __future__ import annotations

from typing import Final

from onnxpress.core.errors import BadModel
from onnxpress.core.onnx_graph import wire
from onnxpress.serving.protocol.protobuf import field

_ERROR, _ANSWER = 1, 2
_ID: Final = 3
"""of ModelInferRequest and of ModelInferResponse"""
_LAST: Final = field(4, field(1, b"triton_final_response") + field(2, b"\x08\x01"))
"""the parameter that is true for the last answer to a request, as the only one is"""


def answer_of(message: bytes) -> bytes:
    """A ModelInferResponse as an answer of a stream."""
    return field(_ANSWER, message + _LAST)


def error_of(request: bytes, reason: str) -> bytes:
    """What is wrong with a ModelInferRequest, with the id that it has."""
    name = b""
    try:
        for key, start, stop in wire.fields(request, 0, len(request)):
            if key == _ID << 3 | wire.BYTES:
                name = request[start:stop]
        name.decode()
    except (BadModel, UnicodeDecodeError):
        name = b""
    said = field(_ERROR, (reason or "the request failed").encode())
    return said + field(_ANSWER, field(_ID, name)) if name else said

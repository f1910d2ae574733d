"""ModelStreamInferResponse of gRPC: one answer of a stream, or what went wrong with one request of it."""

from __future__ import annotations

import zlib
from itertools import islice
from typing import Final

from onnxpress.core.errors import BadModel
from onnxpress.core.onnx_graph import wire
from onnxpress.serving.protocol.protobuf import field

_ERROR, _ANSWER = 1, 2
_ID: Final = 3
"""of ModelInferRequest and of ModelInferResponse"""
_LAST: Final = field(4, field(1, b"triton_final_response") + field(2, b"\x08\x01"))
"""the parameter that is true for the last answer to a request, as the only one is"""
_FIELDS: Final = 1000
_BEGINNING: Final = 16 << 10
"""fields of a request, and bytes of one that is packed, in which its id is looked for: it stands near the beginning"""
_EITHER: Final = zlib.MAX_WBITS | 32


def answer_of(message: bytes) -> bytes:
    """A ModelInferResponse as an answer of a stream."""
    return field(_ANSWER, message + _LAST)


def error_of(request: bytes, packed: bytes, reason: str) -> bytes:
    """What is wrong with a ModelInferRequest, with the id that it has; `packed` is its encoding, if any.

    On the event loop: what it costs does not grow with the request.
    """
    name = b""
    try:
        if packed:
            request = zlib.decompressobj(_EITHER).decompress(request, _BEGINNING)
        for key, start, stop in islice(wire.fields(request, 0, len(request)), _FIELDS):
            if key == _ID << 3 | wire.BYTES:
                name = request[start:stop]
    except (BadModel, zlib.error):  # it is cut off, perhaps here; what was found stands
        pass
    try:
        name.decode()
    except UnicodeDecodeError:
        name = b""
    said = field(_ERROR, (reason or "the request failed").encode())
    return said + field(_ANSWER, field(_ID, name)) if name else said

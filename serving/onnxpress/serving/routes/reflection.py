"""gRPC's server reflection, v1 and v1alpha, whose messages are the same: services, files and symbols."""

from __future__ import annotations

from typing import Any, Final

from onnxpress.serving.protocol.descriptors import Descriptors
from onnxpress.serving.protocol.protobuf import Reading, decoded, encoded, field
from onnxpress.serving.routes.call_paths import SERVICES

_REQUEST: Final[Reading] = {
    1: ("host", str), 3: ("file", str), 4: ("symbol", str), 5: ("extension", {1: ("type", str), 2: ("number", int)}),
    6: ("extensions", str), 7: ("services", str),
}  # fmt: skip
_ERROR: Final[Any] = {"error_code": (1, int), "error_message": (2, str)}
_NOT_FOUND, _INVALID = 5, 3


class Reflection:
    """Answers each message of a ServerReflectionInfo."""

    def __init__(self) -> None:
        self._descriptors = Descriptors()

    def answer(self, body: bytes) -> bytes:
        """A ServerReflectionResponse. Raises Refusal for what is no ServerReflectionRequest."""
        asked = decoded(_REQUEST, body, "ServerReflectionRequest")
        return field(1, asked.get("host", "").encode()) + field(2, body) + self._said(asked)

    def _said(self, asked: dict[str, Any]) -> bytes:
        known = self._descriptors
        if "services" in asked:
            return field(6, b"".join([field(1, field(1, name.encode())) for name in sorted(SERVICES)]))
        if "file" in asked:
            return _files(known.with_needed(asked["file"]), f"there is no file {asked['file'][:200]!r}")
        if "symbol" in asked:
            name = known.file_of(asked["symbol"])
            return _files(known.with_needed(name or ""), f"there is no symbol {asked['symbol'][:200]!r}")
        if "extensions" in asked:
            if known.file_of(asked["extensions"]) is None:
                return _error(_NOT_FOUND, f"there is no type {asked['extensions'][:200]!r}")
            return field(5, field(1, asked["extensions"].encode()))
        if "extension" in asked:
            return _error(_NOT_FOUND, "no message here has extensions")
        return _error(_INVALID, "the request asks for nothing")


def _files(found: list[bytes], missing: str) -> bytes:
    if not found:
        return _error(_NOT_FOUND, missing)
    return field(4, b"".join([field(1, one) for one in found]))


def _error(code: int, said: str) -> bytes:
    return field(7, encoded(_ERROR, {"error_code": code, "error_message": said}))

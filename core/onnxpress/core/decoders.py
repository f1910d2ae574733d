"""msgspec's decoders of structs, made by one thread at a time.

What msgspec knows of a struct it puts down when it first meets it, field by field. Another thread that decodes the same
struct meanwhile finds fields without a type, and the process ends by signal 11 (msgspec 0.22.0). Models are loaded and
large bodies read in threads, so whoever decodes there gets the decoder here.
"""

from __future__ import annotations

import threading
from typing import Any

import msgspec

_lock = threading.Lock()
_json: dict[Any, msgspec.json.Decoder[Any]] = {}
_msgpack: dict[Any, msgspec.msgpack.Decoder[Any]] = {}


def of_json(kind: Any) -> msgspec.json.Decoder[Any]:
    """The decoder of JSON that is of this type.

    >>> of_json(list[int]).decode(b"[1, 2]")
    [1, 2]
    """
    found = _json.get(kind)
    if found is None:
        with _lock:
            found = _json[kind] = msgspec.json.Decoder(kind)
    return found


def of_msgpack(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    """The decoder of MessagePack that is of this type."""
    found = _msgpack.get(kind)
    if found is None:
        with _lock:
            found = _msgpack[kind] = msgspec.msgpack.Decoder(kind)
    return found

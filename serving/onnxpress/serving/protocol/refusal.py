"""A refusal as the protocol says it: an HTTP status and one sentence."""

from __future__ import annotations

import msgspec

from onnxpress.serving.exchange import Headers

_SHOWN = 80


class Refusal(Exception):
    """What the caller did wrong, or cannot have; `status` is the HTTP status that says so."""

    def __init__(self, status: int, message: str, headers: Headers = ()) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers

    def body(self) -> bytes:
        """The V2 error object."""
        return error_body(self.message)


def error_body(message: str) -> bytes:
    """`{"error": message}`."""
    return msgspec.json.encode({"error": message})


def shown(value: object) -> str:
    """A caller's value in an error message, cut to a length that cannot fill a log."""
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"

"""A refusal as the protocol says it: an HTTP status and one sentence."""

from __future__ import annotations

import msgspec

Headers = tuple[tuple[bytes, bytes], ...]


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

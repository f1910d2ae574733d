"""What a request's head means, kept for the next request with the same bytes."""

from __future__ import annotations


class Head:
    """A parsed head. `headers` holds those that the service reads, or is None where there are none."""

    __slots__ = ("head_only", "headers", "keep_alive", "length", "method", "target")

    def __init__(
        self, method: bytes, target: bytes, length: int, keep_alive: bool, headers: dict[bytes, bytes] | None = None
    ) -> None:
        self.method, self.target, self.length, self.keep_alive = method, target, length, keep_alive
        self.head_only = method == b"HEAD"
        self.headers = headers

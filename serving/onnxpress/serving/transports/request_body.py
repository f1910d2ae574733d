"""A request's body while it arrives."""

from __future__ import annotations

from io import BytesIO

from onnxpress.serving.transports.held import HeldBytes
from onnxpress.serving.transports.request_head import HEAVY

_SIZED = 4 << 20
"""bytes of a body up to which its room is taken at once, before it is sent: at most so much for each connection"""


class Body:
    """One connection's, used for one request after the other.

    A large one whose length is known gets its whole room at once, and no copy when it is complete. Half the memory for
    a moment is what matters: beyond a threshold malloc gives it back to the system after every request, and the page
    faults were a third of the time of a request of a megabyte.
    """

    __slots__ = ("_held", "_parts", "_reserved", "_whole", "length")

    def __init__(self, held: HeldBytes) -> None:
        self._held, self._reserved = held, 0
        self.clear()

    def clear(self) -> None:
        """Forget what has come, and hold nothing."""
        self.release()
        self._parts: list[bytes] = []
        self._whole: BytesIO | None = None
        self.length = 0
        """bytes that have come"""

    def expect(self, length: int) -> None:
        """Make ready for a body of that length."""
        self._parts, self._whole, self.length = [], None, 0
        if HEAVY <= length <= _SIZED:
            self._whole = BytesIO()
            self._whole.seek(length - 1)
            self._whole.write(b"\0")
            self._whole.seek(0)

    def reserve(self, weight: int) -> bool:
        """Hold so many bytes more while the body is on its way; False where there is no room."""
        if not self._held.take(weight):
            return False
        self._reserved += weight
        return True

    def release(self) -> None:
        """Hold nothing any more: whoever gets the body counts it from now on."""
        if self._reserved:
            self._held.give_back(self._reserved)
            self._reserved = 0

    def add(self, part: bytes) -> None:
        """What has come next."""
        self.length += len(part)
        if self._whole is None:
            self._parts.append(part)
        else:
            self._whole.write(part)

    def take(self) -> bytes:
        """The body, which is complete. Nothing is kept of it but its length."""
        whole = b"".join(self._parts) if self._whole is None else self._whole.getvalue()
        self._parts, self._whole = [], None
        return whole

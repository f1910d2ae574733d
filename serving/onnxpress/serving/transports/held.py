"""How many bytes the large bodies of all connections hold together, against a limit."""

from __future__ import annotations


class HeldBytes:
    """Counted from the first byte that is reserved to the request's answer, whatever has become of it meanwhile."""

    __slots__ = ("limit", "taken")

    def __init__(self, limit: int) -> None:
        self.limit, self.taken = limit, 0

    def take(self, size: int) -> bool:
        """Take so many more; False, and nothing is taken, where the limit is in the way."""
        if self.taken + size > self.limit:
            return False
        self.taken += size
        return True

    def give_back(self, size: int) -> None:
        """What was taken is free again."""
        self.taken -= size

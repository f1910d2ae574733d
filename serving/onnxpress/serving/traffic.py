"""What the transports of one process have to do with, as they count it themselves."""

from __future__ import annotations

from collections import Counter


class Traffic:
    """The transports write it, on the event loop's thread; batchers and metrics read it."""

    def __init__(self) -> None:
        self.connections = 0
        """open now, as far as the transport can tell: those of another ASGI server count 0"""
        self.errors: Counter[int] = Counter()
        """answers other than 200, by status"""

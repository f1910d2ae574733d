"""Seconds that may be spent, held against a clock.

The clock is the process's own processor time: on a machine that others keep busy as many faults are planted as on a
quiet one.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class Budget:
    """So many seconds from now on.

    >>> Budget(2.0, clock=iter([0.0, 1.5]).__next__).allows(1.0)
    False
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.process_time) -> None:
        self._clock = clock
        self._end = clock() + seconds
        self.seconds = seconds

    def now(self) -> float:
        """The clock, in seconds."""
        return self._clock()

    @property
    def left(self) -> float:
        """Seconds until the end; negative past it."""
        return self._end - self._clock()

    def allows(self, seconds: float) -> bool:
        """Whether what takes so long would end in time."""
        return seconds <= self.left

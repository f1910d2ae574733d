"""What the runtime keeps after a run: its arena grows with the largest one, and gives nothing back by itself.

So a run that is large, and larger than is usual here, is told to hand back at its end what the arena took for it. Where
large runs are the usual ones that would cost page faults in each of them for nothing, and they keep it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onnxpress.core.arrays import Array

LARGE = 4 << 20
"""bytes of inputs from which a run can be a large one"""
_TIMES = 4
"""as large as the usual run"""
_SMOOTHING = 0.05
_KEY, _CPU = "memory.enable_memory_arena_shrinkage", "cpu:0"


class ArenaShrinkage:
    """Knows the usual size of one session's longer runs. On a device other than the CPU it does nothing."""

    def __init__(self, provider: str = "cpu") -> None:
        self._usual = 0.0
        self._here = provider == "cpu"
        self._grown = False
        """whether a run that was not told to hand back was a large one"""

    def hand_back(self, feeds: Mapping[str, Array], options: Any) -> None:
        """Tell the runtime, in this run's RunOptions, to give back what it takes, if this is no usual run.

        One that is much smaller than the usual ones were gives back what those have left.
        """
        size = sum([value.nbytes for value in feeds.values()])
        larger = size >= LARGE and size > _TIMES * self._usual
        smaller = self._grown and size < LARGE and size * _TIMES < self._usual
        self._usual += (size - self._usual) * _SMOOTHING
        if self._here and (larger or smaller):
            options.add_run_config_entry(_KEY, _CPU)
        self._grown = (self._grown or (size >= LARGE and not larger)) and not smaller

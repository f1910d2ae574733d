"""A process that must not outlive the one that started it."""

from __future__ import annotations

import signal
import sys

_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Have the kernel end this process when its parent ends, however that does. Only Linux can; elsewhere nothing.

    A parent that was gone before is not noticed: look for it afterwards.
    """
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

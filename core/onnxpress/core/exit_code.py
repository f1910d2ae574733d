"""How a process ended, by its exit code."""

from __future__ import annotations

import contextlib
import signal


def ending(code: int) -> str:
    """The name of the signal that ended a process with this code of `subprocess`, or the code itself.

    >>> ending(-9)
    'SIGKILL'
    """
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return str(code)

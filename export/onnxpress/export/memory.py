"""Memory that was freed, given back to the system: glibc keeps what large weights took for whoever asks next."""

from __future__ import annotations

import contextlib
import ctypes


def give_back() -> None:
    """Return the freed pages; nothing where the C library has no malloc_trim (musl, macOS, Windows)."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)

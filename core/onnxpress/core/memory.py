"""The memory that a process holds, as Linux tells it; and what was freed, given back to the system."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import NamedTuple


class Memory(NamedTuple):
    """Bytes in RAM: all of them, and those of files and of memory that other processes may share."""

    resident: int
    shared: int


def of_process(process_id: int | str = "self") -> Memory:
    """What process `process_id` holds now. Raises OSError where it is gone, or the system has no /proc."""
    _, resident, shared, *_ = Path(f"/proc/{process_id}/statm").read_text().split()
    page = os.sysconf("SC_PAGE_SIZE")
    return Memory(int(resident) * page, int(shared) * page)


def give_back() -> None:
    """Return freed pages to the system: glibc keeps what large weights took for whoever asks next.

    Nothing happens where the C library has no malloc_trim (musl, macOS, Windows).
    """
    import ctypes  # not what a server that only tells its memory has to wait for

    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)

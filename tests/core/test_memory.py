"""A process's memory grows with what it holds and shrinks when that is given back; one that is gone tells none."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from onnxpress.core import memory

linux = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")


@linux
def test_it_grows_by_what_is_written_to() -> None:
    before = memory.of_process()
    held = bytearray(b"x" * (64 << 20))
    after = memory.of_process(os.getpid())
    assert after.resident - before.resident > 60 << 20
    assert 0 < after.shared < after.resident
    assert len(held) == 64 << 20


@linux
def test_a_process_that_is_gone_is_an_error() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait(60)
        gone = child.pid
    with pytest.raises(OSError, match=str(gone)):
        memory.of_process(gone)


@linux
@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="needs glibc's malloc_trim")
def test_what_was_freed_is_given_back() -> None:
    # Many small arrays, as the rest of a heap is: free gives a large one back by itself.
    held = [np.ones(1000) for _ in range(20_000)]
    last = np.ones(1000)  # above them all, so that the heap cannot simply shrink
    full = memory.of_process().resident
    del held
    memory.give_back()
    assert memory.of_process().resident < full - 20_000 * 8000 // 2
    assert last.all()


def test_where_the_c_library_cannot_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    memory.give_back()

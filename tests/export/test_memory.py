"""Freed memory is given back where the C library can, and nothing happens where it cannot."""

from __future__ import annotations

import ctypes
import sys

import numpy as np
import pytest

from onnxpress.export import memory


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1])


@pytest.mark.skipif(sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="no malloc_trim")
def test_what_was_freed_is_given_back_where_the_c_library_can() -> None:
    # Many small arrays, as the rest of a heap is: a large one is given back by free itself.
    held = [np.ones(1000) for _ in range(20_000)]
    last = np.ones(1000)  # above them all, so that the heap cannot simply shrink
    full = resident()
    del held
    memory.give_back()
    assert resident() < full - 20_000 * 8000 // 4096 // 2
    assert last.all()


def test_without_malloc_trim_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    memory.give_back()

"""A process's memory grows with what it holds; one that is gone has none to tell."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from onnxpress.core import memory

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")


def test_it_grows_by_what_is_written_to() -> None:
    before = memory.of_process()
    held = bytearray(b"x" * (64 << 20))
    after = memory.of_process(os.getpid())
    assert after.resident - before.resident > 60 << 20
    assert 0 < after.shared < after.resident
    assert len(held) == 64 << 20


def test_a_process_that_is_gone_is_an_error() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait(60)
        gone = child.pid
    with pytest.raises(OSError, match=str(gone)):
        memory.of_process(gone)

"""What a server does to its process once it is ready."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from onnxpress.serving.transports import lifetime

_PROGRAM = """
import resource, sys
import numpy as np
from onnxpress.serving.transports import lifetime

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [np.ones(2 << 20, np.uint8) for _ in range(3)]
    del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if sys.argv[1] == "keep":
    lifetime._keep_freed_memory()
faults()
print(sum(faults() for _ in range(5)))
"""


HUGE = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.mark.skipif(HUGE.exists() and "[always]" in HUGE.read_text(), reason="page faults are of huge pages here")
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another malloc has its own ways")
def test_memory_of_large_requests_is_there_for_the_next() -> None:
    found = {}
    for what in ("leave", "keep"):
        command = [sys.executable, "-c", _PROGRAM, what]
        found[what] = int(subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout)
    pages = 5 * 3 * (2 << 20) // 4096
    assert found["keep"] < pages / 10
    assert found["leave"] > pages / 2, "malloc keeps it by itself: `_keep_freed_memory` has no use any more"


def test_no_memory_to_keep_is_no_reason_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(lifetime.np, "empty", none)
    lifetime._keep_freed_memory()

"""The CPUs that a server is kept to, with its workers and its models' processes."""

from __future__ import annotations

import os
import re

from onnxpress.core.errors import UsageError

_RANGE = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")


def numbers(cores: str) -> set[int]:
    """The CPUs of a list as taskset and Docker have it. Raises UsageError.

    >>> sorted(numbers("0-2,5"))
    [0, 1, 2, 5]
    """
    found: set[int] = set()
    for part in cores.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None or int(match[1]) > int(match[2] or match[1]):
            raise UsageError(f"--cores {cores!r} is no list of CPUs", hint="such as 0-3 or 0,2,4")
        found.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return found


def keep_to(cores: str) -> None:
    """Run on these CPUs alone, from now on, as all that is started from here. Raises UsageError."""
    wanted = numbers(cores)
    if not hasattr(os, "sched_setaffinity"):
        raise UsageError("--cores needs Linux: this system does not keep a process to CPUs")
    allowed = os.sched_getaffinity(0)
    if not wanted <= allowed:
        here = ",".join(map(str, sorted(allowed)))
        raise UsageError(f"--cores {cores}: this process may not use all of them; it may use {here}")
    os.sched_setaffinity(0, wanted)

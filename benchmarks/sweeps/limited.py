"""One command under a limit of time and memory, its children counted in."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_POLL_SECONDS = 0.25


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, or the limit it went over; what it printed; what it took."""

    code: int | None
    stdout: str
    stderr: str
    seconds: float
    peak_gib: float
    broken: str = ""


def run(command: Sequence[str], *, folder: Path, seconds: float, gib: float) -> Ended:
    """Run `command` in `folder`; past `seconds`, or over `gib` resident in all its processes, it is ended."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        started = time.monotonic()
        process = psutil.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        peak, broken = 0, ""
        try:
            while process.poll() is None and not broken:
                with contextlib.suppress(psutil.TimeoutExpired):
                    process.wait(_POLL_SECONDS)
                peak = max(peak, _resident(process))
                if time.monotonic() - started > seconds:
                    broken = f"not finished in {seconds:g} s"
                elif peak > gib * 2**30:
                    broken = f"over {gib:g} GiB of memory"
        finally:
            if process.poll() is None:  # over a limit, or Ctrl-C
                _end(process)
        taken = time.monotonic() - started
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
        return Ended(None if broken else process.wait(), *texts, taken, peak / 2**30, broken)


def _family(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _resident(process: psutil.Process) -> int:
    total = 0
    for member in _family(process):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            total += member.memory_info().rss
    return total


def _end(process: psutil.Process) -> None:
    for member in _family(process):
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    process.wait()

"""Each step of the stage told on stderr, with the seconds that it took."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator


@contextlib.contextmanager
def step(label: str) -> Iterator[None]:
    """Say on stderr what is under way, and how long it took once it is done."""
    started = time.monotonic()
    terminal = sys.stderr.isatty()
    print(f"{label} …", end="" if terminal else "\n", file=sys.stderr, flush=True)
    yield
    seconds = f"{time.monotonic() - started:.1f} s"
    print(f" {seconds}" if terminal else f"  {label}: {seconds}", file=sys.stderr, flush=True)

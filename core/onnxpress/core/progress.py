"""Progress of long work on stderr: a bar on a terminal, lines now and then otherwise; a step with its seconds."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from types import TracebackType
from typing import TextIO

_LINE_SECONDS = 5.0
_BAR_SECONDS = 0.1


class Progress:
    """`with Progress("epochs", total=50) as progress: progress.advance("loss 0.12")`."""

    def __init__(self, label: str, total: int, *, stream: TextIO | None = None) -> None:
        self.label, self.total, self.done = label, total, 0
        self._stream = stream if stream is not None else sys.stderr
        self._terminal = self._stream.isatty()
        self._started = self._shown = time.monotonic()
        self._note = ""

    def __enter__(self) -> Progress:
        self._show()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._show()
        if self._terminal:
            self._stream.write("\n")
            self._stream.flush()

    def advance(self, note: str = "", *, steps: int = 1) -> None:
        """Count `steps` as done; `note` is shown beside the count."""
        self.done += steps
        self._note = note
        if time.monotonic() - self._shown >= (_BAR_SECONDS if self._terminal else _LINE_SECONDS):
            self._show()

    def _show(self) -> None:
        self._shown = time.monotonic()
        text = f"{self.label} {self.done}/{self.total}  {self._shown - self._started:.0f} s"
        text += f"  {self._note}" if self._note else ""
        if self._terminal:
            filled = round(20 * self.done / self.total) if self.total else 20
            self._stream.write(f"\r\x1b[2K[{'█' * filled}{'·' * (20 - filled)}] {text}")
        else:
            self._stream.write(text + "\n")
        self._stream.flush()


@contextlib.contextmanager
def step(label: str) -> Iterator[None]:
    """Say on stderr what is under way, and how long it took once it is done."""
    started = time.monotonic()
    terminal = sys.stderr.isatty()
    print(f"{label} …", end="" if terminal else "\n", file=sys.stderr, flush=True)
    yield
    seconds = f"{time.monotonic() - started:.1f} s"
    print(f" {seconds}" if terminal else f"  {label}: {seconds}", file=sys.stderr, flush=True)

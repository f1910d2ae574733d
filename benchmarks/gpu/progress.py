"""A section's figures, written after each, so that one that is cut off leaves what it has."""

from __future__ import annotations

import json
import os
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_LINES = 12


class Progress:
    """Figures by dotted place, in a JSON file that is whole at any moment; and the time that is left."""

    def __init__(self, path: Path, seconds: float) -> None:
        self._path, self._ends = path, time.monotonic() + seconds
        self.figures: dict[str, Any] = {}
        self._write()

    @property
    def left(self) -> float:
        """Seconds until this section is cut off."""
        return self._ends - time.monotonic()

    def put(self, value: Any, *place: str) -> None:
        """Keep a figure."""
        inner = self.figures
        for name in place[:-1]:
            inner = inner.setdefault(name, {})
        inner[place[-1]] = value
        print("  " + " ".join(place) + f": {json.dumps(value)[:300]}", flush=True)
        self._write()

    def attempt(self, *place: str, run: Callable[[], Any]) -> Any:
        """Keep what `run` returns, or its error in its place; a failure is one figure lost."""
        try:
            value = run()
        except Exception as error:
            print("\n".join(traceback.format_exc().splitlines()[-_LINES:]), flush=True)
            self.put({"error": f"{type(error).__name__}: {error}"[:1500]}, *place)
            return None
        self.put(value, *place)
        return value

    @contextmanager
    def kept(self, *place: str) -> Iterator[None]:
        """Keep an error in this place where what stands inside raises one."""
        try:
            yield
        except Exception as error:
            print("\n".join(traceback.format_exc().splitlines()[-_LINES:]), flush=True)
            self.put(f"{type(error).__name__}: {error}"[:1500], *place, "error")

    def _write(self) -> None:
        beside = self._path.with_suffix(".part")
        beside.write_text(json.dumps(self.figures, indent=1))
        os.replace(beside, self._path)

"""Checkpoints of a fit: everything needed to go on after a kill, as one file that appears whole or not at all."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData
from onnxpress.core.files import write_atomically

Arrays = dict[str, Array]
_FILE = "checkpoint.npz"
_OF_PART = "checkpoint-{}.npz"
_ANY = "checkpoint*.npz"
_PROGRESS = "progress.json"
_FIRST_WAIT = 1.0
"""seconds after the first epoch's checkpoint"""


@dataclass(frozen=True)
class Checkpoint:
    """`progress` is the loop's own state, `learner` and `best` are the learner's."""

    progress: bytes
    learner: Arrays
    best: Arrays


def files(folder: Path) -> list[Path]:
    """The checkpoints in a run's folder, the newest last; of several networks each has its own."""
    return sorted(folder.glob(_ANY), key=lambda path: path.stat().st_mtime)


class Checkpoints:
    """The checkpoint file in `folder`: after the first epoch, then ever more seldom, until every `seconds`.

    It is never written by a reader, which others than the first of several processes are.
    """

    def __init__(self, folder: Path, *, seconds: float, read_only: bool = False, part: str | None = None) -> None:
        self._folder, self._seconds, self._written = folder, seconds, time.monotonic()
        self._wait = 0.0
        self._read_only, self._part = read_only, part
        self._path = folder / (_FILE if part is None else _OF_PART.format(part))

    def of(self, part: str) -> Checkpoints:
        """Those of one of several networks that a run fits after each other."""
        return Checkpoints(self._folder, seconds=self._seconds, read_only=self._read_only, part=part)

    def keeps_finished(self) -> bool:
        """Whether a fit's end is written too: other fits follow, and this one is not to be done again."""
        return not self._read_only and self._part is not None

    def due(self) -> bool:
        """Whether it is time for another."""
        return not self._read_only and time.monotonic() - self._written >= min(self._wait, self._seconds)

    def write(self, checkpoint: Checkpoint) -> None:
        """Replace the last one."""
        begun = time.monotonic()
        arrays: Arrays = {_PROGRESS: np.frombuffer(checkpoint.progress, np.uint8)}
        arrays |= {f"learner/{name}": array for name, array in checkpoint.learner.items()}
        arrays |= {f"best/{name}": array for name, array in checkpoint.best.items()}
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)  # type: ignore[arg-type]  # numpy's stub takes the keywords for allow_pickle
        write_atomically(self._path, buffer.getvalue())
        self._written = time.monotonic()
        self._wait = max(_FIRST_WAIT, 2 * self._wait, 10 * (self._written - begun))

    def read(self) -> Checkpoint | None:
        """The last one, or None before the first. Raises BadData for a file that is none."""
        try:
            with np.load(self._path, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            parts: dict[str, Arrays] = {"learner": {}, "best": {}}
            progress = arrays.pop(_PROGRESS).tobytes()
            for name, array in arrays.items():
                part, _, rest = name.partition("/")
                parts[part][rest] = array
            return Checkpoint(progress, parts["learner"], parts["best"])
        except FileNotFoundError:
            return None
        except Exception as error:  # numpy raises many kinds for a foreign file
            raise BadData(
                f"cannot be read: {error}", where=str(self._path), hint="train again from the start"
            ) from None

    def remove(self) -> None:
        """The run is over: no checkpoint stays, of none of its networks."""
        for path in files(self._folder):
            path.unlink()

"""The run folder: built hidden, renamed when whole, so that a killed run never looks like a finished one."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from onnxpress.core.errors import UsageError
from onnxpress.core.files import sync_file, sync_folder


@dataclass
class RunFolder:
    """A run being written into `folder`; `finish` gives it its name."""

    folder: Path
    output: Path
    name: str
    finished: Path | None = field(default=None, init=False)

    def finish(self) -> Path:
        """Rename to `<output>/<name>`, or `<name>-2`, `-3`, … where that exists: a run is never overwritten."""
        for path in self.folder.iterdir():
            sync_file(path)
        sync_folder(self.folder)
        number = 1
        while True:
            target = self.output / (self.name if number == 1 else f"{self.name}-{number}")
            number += 1
            if target.exists():
                continue
            try:
                self.folder.rename(target)
            except OSError:
                if target.exists():  # another run was quicker
                    continue
                raise
            sync_folder(self.output)
            self.finished = target
            return target


@contextlib.contextmanager
def run_folder(output: Path, name: str) -> Iterator[RunFolder]:
    """A hidden folder in `output` to write a run into; removed at the end unless it was finished.

    Raises UsageError where `output` cannot be written, before any training.
    """
    folder = output / f".{name}.{os.getpid()}-{secrets.token_hex(4)}"
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise UsageError(f"cannot make a folder here: {error.strerror}", where=str(output), hint="--output") from None
    draft = RunFolder(folder, output, name)
    try:
        yield draft
    finally:
        if draft.finished is None:
            shutil.rmtree(folder, ignore_errors=True)

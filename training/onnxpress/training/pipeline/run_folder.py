"""The run folder: built hidden, renamed when whole, so that a killed run never looks like a finished one."""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from onnxpress.core.errors import ProcessLost, UsageError
from onnxpress.core.files import sync_file, sync_folder
from onnxpress.training.fitting import checkpoint

_OWNER = "owner.pid"


@dataclass
class RunFolder:
    """A run being written into `folder`; `finish` gives it its name."""

    folder: Path
    output: Path
    name: str
    finished: Path | None = field(default=None, init=False)

    def finish(self) -> Path:
        """Rename to `<output>/<name>`, or `<name>-2`, `-3`, … where that exists: a run is never overwritten."""
        (self.folder / _OWNER).unlink(missing_ok=True)
        for path in self.folder.rglob("*"):
            if path.is_file():
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
def run_folder(output: Path, name: str, *, resume: Path | None = None) -> Iterator[RunFolder]:
    """A hidden folder in `output` to write a run into, or `resume`, what a killed run left.

    Removed at the end unless it was finished, or was interrupted, or left by another process, after its first
    checkpoint.
    Raises UsageError where `output` cannot be written, before any training.
    """
    folder = resume or output / f".{name}.{os.getpid()}-{secrets.token_hex(4)}"
    try:
        folder.mkdir(parents=True, exist_ok=resume is not None)
        (folder / _OWNER).write_text(f"{os.getpid()} {_begun(os.getpid())}")
    except OSError as error:
        raise UsageError(f"cannot make a folder here: {error.strerror}", where=str(output), hint="--output") from None
    draft = RunFolder(folder, output, name)
    try:
        with _termination_interrupts():
            yield draft
    except (KeyboardInterrupt, ProcessLost):
        if checkpoint.files(folder):
            print(f"go on with: onnxpress train --resume {shlex.quote(str(folder))}", file=sys.stderr, flush=True)
            draft.finished = folder
        else:
            print("no epoch was finished yet, so nothing is kept", file=sys.stderr, flush=True)
        raise
    finally:
        if draft.finished is None:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _termination_interrupts() -> Iterator[None]:
    """SIGTERM does what SIGINT does, so that a run that a scheduler ends says how to go on with it too."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def unfinished(run: Path, output: Path) -> Path:
    """The folder that a killed run left: `run` itself, or the newest one for a run of that name.

    Raises UsageError where there is none with a checkpoint.
    """
    if checkpoint.files(run):
        candidates = [run]
    else:
        folder = run.parent if run.parent != Path() else output
        drafts = [path for path in folder.glob(f".{run.name}.*") if checkpoint.files(path)]
        candidates = sorted(drafts, key=lambda path: checkpoint.files(path)[-1].stat().st_mtime)
    if not candidates:
        raise UsageError(
            "there is no unfinished run with a checkpoint here",
            where=str(run),
            hint="the first checkpoint is written after the first epoch",
        )
    return candidates[-1]


def refuse_if_written(folder: Path) -> None:
    """Raises UsageError where the process that writes into the unfinished `folder` still lives."""
    owner, begun = (*(folder / _OWNER).read_text().split(), "")[:2]
    try:
        os.kill(int(owner), 0)
    except ProcessLookupError:
        return
    except PermissionError:
        pass  # somebody else's, which may have the number by now
    # After a restart another process has the number, in a container often the same kind of process.
    if int(owner) != os.getpid() and begun in ("", _begun(int(owner))):
        raise UsageError(f"this run is still being written, by process {owner}", where=str(folder))


def _begun(process: int) -> str:
    """When a process began, in ticks since the machine did; empty where that cannot be told."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""

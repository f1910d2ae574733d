"""Files written so that a reader sees the old one or the new, never a half; files of others, read within bounds."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path

_NOT_WAITING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside `path`, flush to the disk, rename over it. On failure the old file stays, with nothing beside it."""
    write_together({path: content})


def write_together(contents: Mapping[Path, bytes]) -> None:
    """The same of files that belong together: none is renamed before all are on the disk. OSError names the file."""
    import secrets  # with what it imports, a millisecond of a server's start, which writes no file

    temporaries = {path: path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp") for path in contents}
    try:
        for path, content in contents.items():
            try:
                with temporaries[path].open("xb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:  # of a full disk without a name
                error.filename = error.filename or str(path)
                raise
        for path, temporary in temporaries.items():
            temporary.replace(path)
    finally:
        for temporary in temporaries.values():
            temporary.unlink(missing_ok=True)
    for folder in {path.parent for path in contents}:
        sync_folder(folder)


def sync_file(path: Path) -> None:
    """Flush a file that is already written to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Flush a folder's entries (names, renames) to the disk; a no-op where folders cannot be opened (Windows)."""
    if os.name == "posix":
        sync_file(path)


def open_regular(path: Path, most: int | None = None) -> BufferedReader:
    """The file, open for reading; one that others may have put there.

    Raises OSError where it is none: not there, not readable, no regular file (a pipe would be waited for, a device has
    no end), or longer than `most` bytes.
    """
    descriptor = os.open(path, os.O_RDONLY | _NOT_WAITING)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError("it is not a regular file")
        if most is not None and found.st_size > most:
            raise OSError(f"it has {found.st_size} bytes, at most {most} are read")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: Path, most: int) -> bytes:
    """The file's content, of `most` bytes at most. Raises OSError as `open_regular` does."""
    with open_regular(path, most) as file:
        content = file.read(most + 1)
    if len(content) > most:  # it grew meanwhile, or its length is not told, as in /proc
        raise OSError(f"it has more than {most} bytes")
    return content


def sha256(path: Path) -> str:
    """The regular file's SHA-256 as lower-case hex, read in blocks. Raises OSError as `open_regular` does."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""A Unix socket to listen on: never one that somebody else listens on, and at the end nobody else's is removed."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from onnxpress.core.errors import UsageError


class UnixSocket:
    """A socket that listens on the path until `remove`."""

    def __init__(self, path: Path, backlog: int) -> None:
        """A socket that nobody listens on any more is replaced. Raises UsageError where the path is taken."""
        self._path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # Only this user may connect, unless the folder's owner decides otherwise afterwards; from the first moment.
            os.fchmod(self.socket.fileno(), 0o600)
            with _alone(path.parent):
                _make_room(path)
                self.socket.bind(str(path))
                path.chmod(0o600)
                # Before another may look: whoever is refused by it would take it for one that was left behind.
                self.socket.listen(backlog)
                self._file = _identity(path)
        except OSError as error:
            self.socket.close()
            raise UsageError(f"cannot listen on {path}: {error.strerror or error}") from error
        except UsageError:
            self.socket.close()
            raise

    def remove(self) -> None:
        """Take the path away if it is still this socket's. To be called while the socket is open.

        As long as it is, no other file can have its number.
        """
        with contextlib.suppress(OSError), _alone(self._path.parent):
            if _identity(self._path) == self._file:
                self._path.unlink()


def _identity(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_dev, found.st_ino


def _make_room(path: Path) -> None:
    """Remove the socket of a server that is gone. Raises UsageError for anything else that is there."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise UsageError(f"cannot listen on {path}: it is there, and is no socket", hint="name another --unix")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError:  # its queue is full, or it is not this user's: somebody is there, or nobody can tell
            pass
    raise UsageError(
        f"cannot listen on {path}: another server listens there", hint="end that one first, or name another --unix"
    )


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One server after another looks and binds in this folder, as far as its file system can lock."""
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)

"""A Unix socket is one server's: another is refused, and nobody removes another's."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from onnxpress.core.errors import UsageError

if not hasattr(socket, "AF_UNIX"):
    pytest.skip("there are no Unix sockets here", allow_module_level=True)

from onnxpress.serving.unix_socket import UnixSocket


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:  # short: such a path has 107 bytes at most
        yield Path(folder) / "s"


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client, contextlib.suppress(OSError):
        client.connect(str(path))
        return True
    return False


def test_a_second_server_is_refused_and_the_first_goes_on(path: Path) -> None:
    first = UnixSocket(path, 8)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for _ in range(2):
        with pytest.raises(UsageError, match="another server listens there"):
            UnixSocket(path, 8)
    assert _answers(path)
    first.remove()
    first.socket.close()
    assert not path.exists()


def test_a_server_whose_queue_is_full_is_there_too(path: Path) -> None:
    first = UnixSocket(path, 0)
    waiting = [socket.socket(socket.AF_UNIX) for _ in range(4)]
    for one in waiting:
        one.setblocking(False)
        with contextlib.suppress(OSError):
            one.connect(str(path))
    with pytest.raises(UsageError, match="another server"):
        UnixSocket(path, 8)
    for one in [*waiting, first.socket]:
        one.close()


def test_the_socket_of_a_server_that_is_gone_is_replaced(path: Path) -> None:
    first = UnixSocket(path, 8)
    first.socket.close()
    second = UnixSocket(path, 8)
    assert _answers(path)
    path.unlink()  # by somebody who thought it was left behind
    third = UnixSocket(path, 8)
    second.remove()  # it is not its own any more
    assert _answers(path)
    third.remove()
    second.socket.close()
    third.socket.close()
    assert not path.exists()


def test_another_file_there_is_neither_replaced_nor_removed(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(UsageError, match="is no socket"):
        UnixSocket(path, 8)
    assert path.read_text() == "precious"
    path.unlink()
    mine = UnixSocket(path, 8)
    path.unlink()
    path.write_text("precious")
    mine.remove()
    mine.socket.close()
    assert path.read_text() == "precious"
    path.unlink()
    path.symlink_to("nowhere")
    with pytest.raises(UsageError, match="is no socket"):
        UnixSocket(path, 8)
    with pytest.raises(UsageError, match="cannot listen"):
        UnixSocket(path.parent / "missing" / "s", 8)
    with pytest.raises(UsageError, match="cannot listen"):
        UnixSocket(path.parent / ("s" * 200), 8)
    assert os.listdir(path.parent) == ["s"]

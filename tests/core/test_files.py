"""A reader sees the old file or the new one: through a kill, a full disk, and a reader at the wrong moment."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.core.files import sha256, write_atomically, write_together

pytestmark = pytest.mark.skipif(os.name != "posix", reason="kills and resource limits as POSIX has them")


def test_the_content_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["manifest.json"]


def test_a_reader_never_sees_a_half(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    contents = [bytes([letter]) * 500_000 for letter in b"ab"]
    write_atomically(path, contents[0])
    done = threading.Event()

    def write() -> None:
        for turn in range(40):
            write_atomically(path, contents[turn % 2])
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = 0
    while not done.is_set():
        assert path.read_bytes() in contents
        seen += 1
    writer.join()
    assert seen > 0


def test_kill_9_in_the_middle_leaves_the_old_or_the_new_file(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    old = b"o" * 2_000_000
    path.write_bytes(old)
    program = (
        "import sys; from pathlib import Path; from onnxpress.core.files import write_atomically\n"
        "path = Path(sys.argv[1])\n"
        "print('ready', flush=True)\n"
        "while True:\n    write_atomically(path, b'n' * 2_000_000)\n"
    )
    for delay in (0.0, 0.003, 0.011, 0.02):
        with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(delay)
            child.send_signal(signal.SIGKILL)
        content = path.read_bytes()
        assert content in (old, b"n" * len(old))


def test_a_full_disk_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    write_atomically(path, b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            write_atomically(path, b"n" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["manifest.json"]


def test_of_files_that_belong_together_none_is_new_where_one_has_no_room(tmp_path: Path) -> None:
    small, large = tmp_path / "nets.py", tmp_path / "nets.weights.h5"
    write_together({small: b"old", large: b"old"})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match="too large") as caught:
            write_together({small: b"new", large: b"n" * 100_000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.filename == str(large)
    assert small.read_bytes() == large.read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) == ["nets.py", "nets.weights.h5"]


def test_a_missing_folder_is_the_callers_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "absent" / "file", b"x")


@given(st.binary(max_size=300_000))
def test_sha256_is_that_of_the_content(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("digest") / "file"
    path.write_bytes(content)
    assert sha256(path) == hashlib.sha256(content).hexdigest()

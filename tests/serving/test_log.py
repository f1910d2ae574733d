"""What the server says on stderr: nobody waits for its reader, and what is lost is counted."""

from __future__ import annotations

import os
import re
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from onnxpress.serving import log
from onnxpress.serving.log import Log

LINE = "x" * 99 + "\n"


def everything(descriptor: int) -> bytes:
    os.set_blocking(descriptor, False)
    found = b""
    try:
        while part := os.read(descriptor, 1 << 20):
            found += part
    except BlockingIOError:
        pass
    return found


def test_a_reader_that_does_not_read_is_not_waited_for_and_gets_whole_lines_later() -> None:
    read, write = os.pipe()
    log = Log(write, kept=10_000)
    for _ in range(5_000):
        log.write(LINE)
    assert os.get_blocking(write)  # it is shared with whoever started the server
    first = everything(read)
    log.flush()
    second = everything(read)
    assert second.count(LINE.encode()) == 100
    assert log.dropped == 5_000 - (len(first) + len(second)) // len(LINE)
    assert log.dropped > 1_000
    log.write(LINE)
    assert everything(read).decode() == f"{log.dropped} lines of the log could not be written and are lost\n{LINE}"
    assert set((first + second).decode().splitlines(keepends=True)) == {LINE}


def test_a_long_line_is_written_whole_or_not_at_all() -> None:
    read, write = os.pipe()
    log = Log(write)
    log.write("a" * 100_000 + "\n")
    log.write("b\n")
    found = everything(read)
    log.flush()
    assert (found + everything(read)).decode() == "a" * 100_000 + "\nb\n"


def test_a_reader_that_has_gone() -> None:
    read, write = os.pipe()
    log = Log(write)
    os.close(read)
    log.write(LINE)
    log.write(LINE)
    assert log.dropped == 2


def test_a_socket_that_nobody_reads() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        log = Log(theirs.fileno(), kept=10_000)
        for _ in range(20_000):
            log.write(LINE)
        assert log.dropped > 0
        assert theirs.getblocking()
        log.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_and_a_descriptor_that_is_closed() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    assert stat.S_ISCHR(os.fstat(full).st_mode)
    log = Log(full)
    os.close(full)
    log.write(LINE)
    assert log.dropped == 1
    closed = Log(-1)
    closed.write(LINE)
    assert closed.dropped == 1


def test_a_file_is_appended_to_where_others_write_too(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        log = Log(file.fileno())
        file.write("one\n")
        file.flush()
        log.write("two\n")
        file.write("three\n")
    assert (tmp_path / "log").read_text() == "one\ntwo\nthree\n"


def test_closed_descriptors_are_not_taken_by_the_next_file() -> None:
    code = (
        "from onnxpress.serving import log; import os; log.keep_descriptors(); log.say('nobody hears');"
        "os._exit(0 if os.dup(0) > 2 else 1)"
    )
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$0" -c "$1" <&- >&- 2>&-', sys.executable, code], check=False, timeout=60
    )
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("form", "line"),
    [
        ("plain", r"first\nsecond é\n"),
        ("timed", r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d\d\dZ first\nsecond é\n"),
        ("json", r'\{"time": "20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d\d\dZ", "message": "first\\nsecond é"\}\n'),
    ],
)
def test_each_form_of_a_line(form: log.Form, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    log.speak(form)
    try:
        log.say("first\nsecond é")
    finally:
        log.speak("plain")
    assert re.fullmatch(line, capsys.readouterr().err)

"""A model's own process over its socket: it loads, answers, says what is wrong, and ends when the server is gone."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.serving.onnx_models import affine, lookup

from onnxpress.core.manifest import SessionSettings
from onnxpress.serving.isolation.process import Job, Message, receive, send, send_job

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sockets handed to a process, as POSIX does")
COMMAND = [sys.executable, "-P", "-m", "onnxpress.serving.isolation.process"]


@contextlib.contextmanager
def living(model: Path) -> Iterator[tuple[socket.socket, subprocess.Popen[bytes]]]:
    job = Job(str(model), "cpu", SessionSettings(), 1, True, [])
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(60)
        number = theirs.fileno()
        with subprocess.Popen([*COMMAND, str(number)], pass_fds=[number]) as process:
            theirs.close()
            send_job(ours, job)
            try:
                yield ours, process
            finally:
                ours.close()
                assert process.wait(60) == 0


def test_it_loads_answers_and_ends_when_the_other_end_is_gone(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(affine())
    with living(tmp_path / "model.onnx") as (connection, process):
        loaded, _ = receive(connection)
        assert loaded.error is None
        assert [one.name for one in loaded.inputs] == ["x"]
        send(connection, Message(names=[loaded.outputs[0].name]), {"x": np.array([[1, 2, 3]], np.float32)})
        answer, arrays = receive(connection)
        assert answer.error is None
        assert arrays[0].dtype == np.float32
        assert process.poll() is None


def test_a_run_that_fails_is_answered_and_the_next_one_goes_well(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(lookup())
    with living(tmp_path / "model.onnx") as (connection, _):
        loaded, _ = receive(connection)
        names = [loaded.outputs[0].name]
        send(connection, Message(names=names), {"i": np.array([99], np.int64)})
        assert "99" in str(receive(connection)[0].error)
        send(connection, Message(names=names), {"i": np.array([0], np.int64)})
        assert receive(connection)[0].error is None


def test_a_model_that_cannot_be_loaded_is_said(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no")
    with living(tmp_path / "model.onnx") as (connection, _):
        assert receive(connection)[0].error
        with pytest.raises(EOFError):
            receive(connection)


def test_strings_and_empty_arrays_come_over_as_they_are() -> None:
    sent = {
        "words": np.array([["a", "ö"], ["", "d"]], object),
        "none": np.zeros((0, 3), np.float32),
        "turned": np.arange(6, dtype=np.int64).reshape(2, 3).T,
    }
    ours, theirs = socket.socketpair()
    with ours, theirs:
        send(ours, Message(names=["y"]), sent)
        message, arrays = receive(theirs)
    assert message.names == ["y"]
    for value, expected in zip(arrays, sent.values(), strict=True):
        assert (value.dtype, value.shape, value.tolist()) == (expected.dtype, expected.shape, expected.tolist())


def test_a_deadline_ends_the_waiting() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with pytest.raises(TimeoutError):
            receive(ours, time.monotonic() + 0.05)
        with pytest.raises(TimeoutError):
            receive(ours, time.monotonic() - 1)
        reader = threading.Timer(0.05, theirs.sendall, [b"\0"])  # a part of a message, and no more
        reader.start()
        with pytest.raises(TimeoutError):
            receive(ours, time.monotonic() + 0.2)
        reader.join(60)

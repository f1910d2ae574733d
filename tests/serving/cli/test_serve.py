"""The command `serve` as a process: its URL, its signals, and what it refuses to start with."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.serving.publishing import MODELS, publish

pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
COMMAND = [sys.executable, "-c", "from onnxpress.core.cli import main; main()", "serve"]


class Served:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        self.url = process.stdout.readline().strip()
        assert self.url.startswith("http://127.0.0.1:"), process.communicate()
        self.address = ("127.0.0.1", int(self.url.rpartition(":")[2]))

    def send(self, steps: int) -> socket.socket:
        """Ask the slow model; the answer is still to come."""
        body = json.dumps({"inputs": [{"name": "steps", "shape": [], "datatype": "INT64", "data": [steps]}]})
        connection = socket.create_connection(self.address, timeout=60)
        head = f"POST /v2/models/slow/infer HTTP/1.1\r\nhost: h\r\ncontent-length: {len(body)}\r\n\r\n"
        connection.sendall((head + body).encode())
        return connection

    def get(self, path: str) -> int:
        with socket.create_connection(self.address, timeout=60) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n".encode())
            return int(connection.recv(4096).split()[1])

    def wait_until_it_leaves(self) -> None:
        """Until a signal has been heard: nobody new is welcome."""
        with suppress(OSError, IndexError):
            while self.get("/v2/health/ready") == 200:
                pass


@contextmanager
def serving(path: Path, *options: str) -> Iterator[Served]:
    process = subprocess.Popen(
        [*COMMAND, str(path), "--port", "0", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield Served(process)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=60)


def everything(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def test_url_on_stdout_models_on_stderr_and_a_clean_end(tmp_path: Path) -> None:
    publish(tmp_path, "tiny")
    with serving(tmp_path) as served:
        assert served.get("/v2/health/ready") == 200
        served.process.send_signal(signal.SIGTERM)
        out, err = served.process.communicate(timeout=60)
        assert (served.process.returncode, out) == (0, "")
        assert err.startswith("serving tiny version 1 (self-test ")


def test_sigterm_finishes_what_was_accepted(tmp_path: Path) -> None:
    publish(tmp_path, "slow")
    with serving(tmp_path) as served:
        half = socket.create_connection(served.address, timeout=60)
        half.sendall(b"GET /v2/health/ready HTTP/1.1\r\nhost: h\r\n")
        asked, idle = served.send(2_000_000), socket.create_connection(served.address, timeout=60)
        assert served.get("/v2/health/ready") == 200  # what came before is read by then
        served.process.send_signal(signal.SIGTERM)
        assert idle.recv(1) == b""  # an idle connection ends at once
        half.sendall(b"\r\n")
        refused = everything(half)
        assert refused.startswith(b"HTTP/1.1 503")
        assert b'{"ready":false}' in refused
        assert served.process.poll() is None
        answer = everything(asked)
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in answer
        assert b'"data":[2000000.0]' in answer
        assert served.process.wait(60) == 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(served.address, timeout=1)
        for connection in (half, asked, idle):
            connection.close()


def test_health_answers_during_a_long_run(tmp_path: Path) -> None:
    publish(tmp_path, "slow")
    with serving(tmp_path) as served, served.send(2_000_000) as asked:
        assert served.get("/v2/health/live") == 200
        assert select.select([asked], [], [], 0) == ([], [], [])  # the long run goes on
        assert asked.recv(4096).startswith(b"HTTP/1.1 200")


def test_a_second_signal_and_the_grace_time_cut_short(tmp_path: Path) -> None:
    publish(tmp_path, "slow")
    for options, signals in (((), 2), (("--grace", "0.3"), 1)):
        with serving(tmp_path, *options) as served, served.send(60_000_000) as asked:
            assert served.get("/v2/health/ready") == 200  # what came before is read by then
            for _ in range(signals):
                served.process.send_signal(signal.SIGINT)
                served.wait_until_it_leaves()
            assert everything(asked) == b""
            _, err = served.process.communicate(timeout=60)
            assert "1 connections unanswered" in err
            assert served.process.returncode == 1


def test_kill_leaves_nothing_that_hinders_the_next(tmp_path: Path) -> None:
    publish(tmp_path, "tiny")
    with serving(tmp_path) as first:
        port = str(first.address[1])
        first.process.kill()
        first.process.wait(60)
    with serving(tmp_path, "--port", port) as second:
        assert second.get("/v2/health/ready") == 200


def test_unverified_models_are_said_and_refused_on_demand(tmp_path: Path) -> None:
    shutil.copy(MODELS / "tiny.onnx", tmp_path)
    with serving(tmp_path / "tiny.onnx") as served:
        served.process.terminate()
        assert "unverified" in served.process.communicate(timeout=60)[1]
    done = run(str(tmp_path / "tiny.onnx"), "--port", "0", "--require-equivalence")
    assert (done.returncode, done.stdout) == (1, "")
    assert "never measured" in done.stderr
    assert "Traceback" not in done.stderr


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60)


def test_what_it_cannot_start_with(tmp_path: Path) -> None:
    assert run(str(tmp_path / "none"), "--port", "0").stderr.startswith("error: ")
    publish(tmp_path, "tiny")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run(str(tmp_path), "--port", str(taken.getsockname()[1]))
    assert done.returncode == 2
    assert "cannot listen on 127.0.0.1" in done.stderr
    assert "--port" in done.stderr

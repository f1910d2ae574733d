"""A server whose log nobody can read or take goes on: answers, polling, the processes of models and of workers."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.serving.harness import ask, infer_body
from tests.serving.onnx_models import publish_affine

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/dev/full and /proc")
COMMAND = [sys.executable, "-c", "from onnxpress.core.cli import main; main()", "serve"]
TARGET = "/v2/models/affine/infer"
LISTENERS = ("a reader that does not read", "a reader that has gone", "a full disk", "closed")


@contextmanager
def unheard(path: Path, listener: str, *options: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A server, and its port; its log is not to be written."""
    redirect = {"closed": "2>&-", "a full disk": "2>/dev/full"}.get(listener, "")
    read, write = os.pipe()
    process = subprocess.Popen(
        ["/bin/sh", "-c", f'exec "$@" {redirect}', "sh", *COMMAND, str(path), "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=write,
        text=True,
    )
    os.close(write)
    if listener == "a reader that has gone":
        os.close(read)
    try:
        assert process.stdout is not None
        yield process, int(process.stdout.readline().rpartition(":")[2])
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(60)
        if process.stdout is not None:
            process.stdout.close()
        if listener != "a reader that has gone":
            os.close(read)


def until(fact: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not fact():
        assert time.monotonic() < end
        time.sleep(0.02)


def answers(port: int, value: float = 0.0) -> bool:
    reply = ask(port, "POST", TARGET, infer_body([[1, 2, 3]]))
    return reply.status == 200 and reply.json()["outputs"][0]["data"][0] == value


def children(process: subprocess.Popen[str]) -> list[int]:
    return [int(one) for one in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


@pytest.mark.parametrize("listener", LISTENERS)
def test_answers_and_polling_go_on_and_lost_lines_are_counted(listener: str, tmp_path: Path) -> None:
    publish_affine(tmp_path)
    with unheard(tmp_path, listener, "--access-log", "--poll", "0.05") as (_, port):
        value = ask(port, "POST", TARGET, infer_body([[1, 2, 3]])).json()["outputs"][0]["data"][0]
        many = "x" * 180
        for _ in range(2500):  # some 400 bytes each: a pipe holds 64 KiB, the log's memory 256
            assert ask(port, "GET", f"/v2/{many}").status == 404
        publish_affine(tmp_path, offset=1.0)
        until(lambda: answers(port, value + 1.0))
        publish_affine(tmp_path, offset=2.0)
        until(lambda: answers(port, value + 2.0))
        told = ask(port, "GET", "/metrics").body.decode()
        found = re.search(r"^onnxpress_log_dropped_total (\d+)", told, re.MULTILINE)
        assert found is not None
        assert int(found[1]) > 100


@pytest.mark.parametrize("listener", LISTENERS[1:])
def test_a_models_process_is_started_again(listener: str, tmp_path: Path) -> None:
    publish_affine(tmp_path)
    with unheard(tmp_path, listener, "--isolate") as (process, port):
        value = ask(port, "POST", TARGET, infer_body([[1, 2, 3]])).json()["outputs"][0]["data"][0]
        for _ in range(2):
            until(lambda: bool(model_processes(process)))
            os.kill(model_processes(process)[0], signal.SIGKILL)
            until(lambda: answers(port, value))


def model_processes(process: subprocess.Popen[str]) -> list[int]:
    every = [
        int(folder.name)
        for folder in Path("/proc").iterdir()
        if folder.name.isdigit() and f"\nPPid:\t{process.pid}\n" in _status(folder)
    ]
    return [pid for pid in every if pid != process.pid]


def _status(folder: Path) -> str:
    try:
        return (folder / "status").read_text()
    except OSError:
        return ""


@pytest.mark.parametrize("listener", LISTENERS[1:])
def test_a_worker_is_started_again(listener: str, tmp_path: Path) -> None:
    publish_affine(tmp_path)
    with unheard(tmp_path, listener, "--workers", "2") as (process, port):
        value = ask(port, "POST", TARGET, infer_body([[1, 2, 3]])).json()["outputs"][0]["data"][0]
        before = set(children(process))
        os.kill(min(before), signal.SIGKILL)
        until(lambda: len(children(process)) == 2 and set(children(process)) != before)
        until(lambda: "\nonnxpress_workers 2\n" in ask(port, "GET", "/metrics").body.decode())
        assert answers(port, value)

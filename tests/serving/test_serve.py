"""`onnxpress serve` as a process: ready when it says so, finishing what it accepted, light."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.serving.harness import MAIN, WAIT, Client, ask, busy_request, infer_body, request, started
from tests.serving.onnx_models import busy, plain, publish_affine


@pytest.fixture
def models(tmp_path: Path) -> Path:
    publish_affine(tmp_path)
    plain(tmp_path, "busy", busy())
    return tmp_path


def test_it_says_what_it_serves_answers_and_leaves_with_0(models: Path) -> None:
    plain(models, "broken", b"no")
    with started(models) as server:
        # Not all models are there: it is for whoever routes the callers to say whether that will do, see --ready-when.
        assert ask(server.port, "GET", "/v2/health/ready").json() == {"ready": False}
        assert ask(server.port, "GET", "/v2/models/affine/ready").json() == {"ready": True}
        assert ask(server.port, "POST", "/v2/models/affine/infer", infer_body([[1, 2, 3]])).status == 200
        code, errors = server.leave()
    assert code == 0
    assert "serving affine version 1 (self-test " in errors
    assert "serving busy version 1 (unverified: it has no manifest)" in errors
    assert "NOT serving broken version 1: " in errors


def ready(port: int) -> bool:
    """Whether a new caller is welcome."""
    try:
        return ask(port, "GET", "/v2/health/ready").status == 200
    except (OSError, EOFError):
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_accepted_request_is_answered_after_the_signal(models: Path, number: int) -> None:
    with started(models) as server, Client(server.port) as client, Client(server.port) as begun:
        client.send(busy_request(400))
        assert client.reply().status == 200  # it knows now that this model is slow
        whole = request("POST", "/v2/models/affine/infer", infer_body([[1, 2, 3]]))
        begun.send(whole[:-5])
        client.send(busy_request(1800, id="last"))
        assert ready(server.port)  # what came before is read by then
        server.popen.send_signal(number)
        while ready(server.port):
            pass
        begun.send(whole[-5:])
        assert begun.reply().status == 200
        assert begun.ended()
        assert client.reply().json()["id"] == "last"
        assert client.ended()
        server.popen.communicate(timeout=WAIT)
        assert server.popen.returncode == 0


def test_a_second_signal_cuts(models: Path) -> None:
    with started(models, "--threads", "1") as server, Client(server.port) as client:
        client.send(busy_request(400))
        assert client.reply().status == 200
        client.send(busy_request(2000) * 3)
        assert ready(server.port)  # what came before is read by then
        server.popen.send_signal(signal.SIGTERM)
        while ready(server.port):
            pass
        code, errors = server.leave()
    assert code == 1
    assert "stopped with requests of 1 connections unanswered" in errors


def test_an_idle_connection_does_not_keep_it(models: Path) -> None:
    with started(models) as server, Client(server.port) as client:
        client.send(request("GET", "/v2/health/live"))
        assert client.reply().status == 200
        begun = time.monotonic()
        assert server.leave()[0] == 0
        assert time.monotonic() - begun < 60  # it may idle for longer than that
        assert client.ended()


def test_a_port_in_use_and_a_folder_without_models_are_said(models: Path, tmp_path: Path) -> None:
    with started(models) as server:
        taken = subprocess.run(
            [*MAIN, "serve", str(models), "--port", str(server.port)], capture_output=True, text=True, timeout=60
        )
    assert taken.returncode == 2
    assert f"cannot listen on 127.0.0.1:{server.port}" in taken.stderr
    (tmp_path / "empty").mkdir()
    nothing = subprocess.run(
        [*MAIN, "serve", str(tmp_path / "empty"), "--port", "0"], capture_output=True, text=True, timeout=60
    )
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert "no model here" in nothing.stderr


ALLOWED = {
    "click", "cython_runtime", "httptools", "msgspec", "numpy", "onnxpress", "onnxpress__mypyc", "onnxruntime",
    "typing_extensions", "uvloop",
}  # fmt: skip
HEAVY = {"urllib.request", "multiprocessing", "xml", "sqlite3", "unittest", "ctypes.util", "email", "http"}
"""modules of the standard library that answering has no use for"""


def test_answering_loads_nothing_but_what_it_needs(models: Path) -> None:
    """A fresh interpreter serves a request; what it has imported then is what every server carries."""
    program = f"""
import asyncio, sys
before = set(sys.modules)
from pathlib import Path
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.service import Service
from onnxpress.serving.settings import ServerSettings
from onnxpress.serving.handler import handler_of
from onnxpress.serving.transports import http, lifetime
from onnxpress.serving.cli import serve
repository = Repository(Path({str(models)!r}))
repository.load()
handler = handler_of(Service(repository), ServerSettings())
class Exchange:
    gone = False

    def respond(self, status, body, headers=()):
        assert status == 200, body
        done.set()
async def main():
    global done
    done = asyncio.Event()
    handler.submit(b"POST", b"/v2/models/affine/infer", {infer_body([[1, 2, 3]])!r}, Exchange())
    await done.wait()
asyncio.run(main())
repository.close()
print(*sorted(set(sys.modules) - before))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    loaded = set(done.stdout.split())
    assert "onnxruntime" in loaded
    print(sorted(loaded & HEAVY))
    foreign = {name.partition(".")[0] for name in loaded} - sys.stdlib_module_names - ALLOWED
    assert {name for name in foreign if not name.startswith("_")} == set()


def test_nothing_is_sent_from_the_machine(models: Path) -> None:
    """The runtime's telemetry is off whatever the environment says, and no connection leaves loopback."""
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    popen = subprocess.Popen(
        [*MAIN, "serve", str(models), "--port", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    try:
        assert popen.stdout is not None
        port = int(popen.stdout.readline().rpartition(":")[2])
        assert ask(port, "POST", "/v2/models/affine/infer", infer_body([[1, 2, 3]])).status == 200
        sockets = Path(f"/proc/{popen.pid}/net/tcp")
        if not sockets.exists():
            pytest.skip("no /proc here to see the process's sockets in")
        inodes = set()
        for link in Path(f"/proc/{popen.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                inodes.add(os.readlink(link))
        for table in ("tcp", "tcp6", "udp", "udp6"):
            for line in Path(f"/proc/{popen.pid}/net/{table}").read_text().splitlines()[1:]:
                words = line.split()
                if f"socket:[{words[9]}]" in inodes:
                    assert words[1].startswith("0100007F:"), line
    finally:
        popen.terminate()
        popen.communicate(timeout=WAIT)

"""However a server is ended, and whatever runs in it: it ends in time, and leaves no process behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.serving.harness import WAIT, Client, Process, ask, busy_request, infer_body, request, started
from tests.serving.onnx_models import busy, plain, publish_affine
from tests.serving.publishing import MODELS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")
GRACE = 1.0
SLACK = 5.0
"""for a machine that is busy with other things"""
MODES = [(), ("--isolate",), ("--workers", "2"), ("--workers", "2", "--isolate")]
ENDLESS = request(
    "POST",
    "/v2/models/slow/infer",
    b'{"inputs":[{"name":"steps","shape":[],"datatype":"INT64","data":[1000000000000]}]}',
)
LONG = busy_request(6000)
"""one operator takes seconds, and nothing ends it before"""


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    publish_affine(folder)
    plain(folder, "slow", (MODELS / "slow.onnx").read_bytes())
    plain(folder, "busy", busy())
    return folder


def descendants(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    # A model's process is started by a thread.
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # the thread has ended
            listed += (task / "children").read_text().split()
    found = sorted({int(one) for one in listed})
    return found + [one for child in found for one in descendants(child)]


def left(processes: Sequence[int], seconds: float) -> list[int]:
    """Those that are there when so much time has passed, or none before."""
    deadline = time.monotonic() + seconds
    while True:
        there = [pid for pid in processes if _runs(pid)]
        if not there or time.monotonic() > deadline:
            return there
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def begin(server: Process, sent: bytes) -> Client:
    """A request that is being run."""
    client = Client(server.port)
    client.send(sent)
    time.sleep(0.5)
    return client


@pytest.mark.parametrize("sent", [ENDLESS, LONG], ids=["many operators", "one operator"])
@pytest.mark.parametrize("mode", MODES, ids=" ".join)
def test_a_run_whose_caller_has_gone_keeps_nothing(models: Path, mode: tuple[str, ...], sent: bytes) -> None:
    with started(models, "--grace", "60", *mode) as server:
        processes = descendants(server.popen.pid)
        with begin(server, sent):
            pass
        begun = time.monotonic()
        assert server.leave()[0] == 0
        # It may only have ended its side; some seconds are spent on finding out.
        assert time.monotonic() - begun < 10 + SLACK
        assert left(processes, 1.0) == []


@pytest.mark.parametrize("mode", MODES, ids=" ".join)
def test_a_caller_who_waits_is_cut_off_after_the_grace_time(models: Path, mode: tuple[str, ...]) -> None:
    with started(models, "--grace", str(GRACE), *mode) as server:
        processes = descendants(server.popen.pid)
        with begin(server, LONG):
            begun = time.monotonic()
            assert server.leave()[0] == 1
            assert time.monotonic() - begun < GRACE + SLACK
        assert left(processes, 1.0) == []


@pytest.mark.parametrize("mode", MODES, ids=" ".join)
def test_the_second_signal_ends_it(models: Path, mode: tuple[str, ...]) -> None:
    with started(models, "--grace", "600", *mode) as server:
        processes = descendants(server.popen.pid)
        with begin(server, LONG):
            server.popen.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            with pytest.raises(ConnectionRefusedError):  # at once, while a run is finished
                ask(server.port, "GET", "/v2/health/live")
            begun = time.monotonic()
            assert server.leave()[0] == 1
            assert time.monotonic() - begun < SLACK
        assert left(processes, 1.0) == []


@pytest.mark.parametrize("mode", MODES[2:], ids=" ".join)
def test_a_signal_to_all_processes_at_once_is_one_signal(models: Path, mode: tuple[str, ...]) -> None:
    """As a terminal sends it, or `kill` to the whole group: workers get it twice, from their supervisor too."""
    with started(models, "--grace", "60", *mode) as server:
        workers = Path(f"/proc/{server.popen.pid}/task/{server.popen.pid}/children").read_text().split()
        with begin(server, busy_request(1500)) as client:
            for pid in (server.popen.pid, *map(int, workers)):
                os.kill(pid, signal.SIGINT)
            assert client.reply().status == 200
        assert server.popen.wait(WAIT) == 0


def test_a_worker_that_is_ended_while_it_starts_is_started_again(tmp_path: Path) -> None:
    publish_affine(tmp_path)
    slow = [sys.executable, str(Path(__file__).with_name("slow_start.py")), "1.5"]
    command = [*slow, "serve", str(tmp_path), "--port", "0", "--workers", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as popen:
        children = Path(f"/proc/{popen.pid}/task/{popen.pid}/children")
        deadline = time.monotonic() + WAIT
        ended: set[int] = set()
        while len(ended) < 2:
            assert time.monotonic() < deadline
            workers = [int(word) for word in children.read_text().split() if int(word) not in ended]
            if len(workers) == 2:  # both are there, the second time with one that was started again
                with contextlib.suppress(ProcessLookupError):
                    os.kill(workers[0], signal.SIGTERM)
                ended.add(workers[0])
            time.sleep(0.01)
        assert popen.stdout is not None
        assert popen.stdout.readline().startswith("http://")
        popen.terminate()
        assert popen.wait(WAIT) == 0


def test_a_signal_to_a_worker_that_was_just_forked_is_not_taken_for_the_supervisors(tmp_path: Path) -> None:
    publish_affine(tmp_path)
    command = [sys.executable, str(Path(__file__).with_name("ended_at_birth.py"))]
    with started(tmp_path, "--workers", "2", main=command) as server:
        code, errors = server.leave()
        assert code == 0
        assert "signal 15" in errors


@pytest.mark.parametrize("mode", MODES[1:], ids=" ".join)
def test_nothing_outlives_a_server_that_is_killed(models: Path, mode: tuple[str, ...]) -> None:
    with started(models, "--grace", str(GRACE), *mode) as server:
        processes = descendants(server.popen.pid)
        with begin(server, LONG):
            pass
        server.popen.kill()
        assert left(processes, GRACE + SLACK) == []


def test_a_model_that_loads_for_ever_does_not_keep_it(tmp_path: Path) -> None:
    publish_affine(tmp_path)
    slow = [sys.executable, str(Path(__file__).with_name("slow_start.py")), "600"]
    for mode in ((), ("--workers", "2")):
        with subprocess.Popen([*slow, "serve", str(tmp_path), "--port", "0", "--grace", "1", *mode]) as popen:
            time.sleep(1.0)
            processes = descendants(popen.pid)
            begun = time.monotonic()
            popen.terminate()
            assert popen.wait(WAIT) in (0, -signal.SIGTERM)
            assert time.monotonic() - begun < SLACK
        assert left(processes, 1.0) == []


def test_a_hangup_reads_tokens_again_and_loses_nothing(models: Path) -> None:
    file = models.parent / "tokens"
    file.write_text("first-token-of-many\n")
    with started(models, "--tokens", str(file)) as server:
        stop, statuses = threading.Event(), []

        def call() -> None:
            with Client(server.port) as client:
                while not stop.is_set():
                    client.send(request("GET", "/v2/health/live"))
                    statuses.append(client.reply().status)

        caller = threading.Thread(target=call)
        caller.start()
        before = file.stat()
        file.write_text("other-token-of-many\n")
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))  # it does not seem to have changed
        server.popen.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + WAIT
        while True:
            by = {}
            for token in ("first", "other"):
                header = f"authorization: Bearer {token}-token-of-many"
                by[token] = ask(
                    server.port, "POST", "/v2/models/affine/infer", infer_body([[1, 2, 3]]), [header]
                ).status
            if by == {"first": 401, "other": 200} and statuses:
                break
            assert time.monotonic() < deadline, by
        stop.set()
        caller.join(WAIT)
        assert set(statuses) == {200}
        assert server.leave()[0] == 0


def certificate(folder: Path, name: str) -> None:
    """A pair of files for localhost, in the place of those that are there."""
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", f"/CN={name}", "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]  # fmt: skip
    subprocess.run(made, check=True, capture_output=True, timeout=60)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here to make a certificate with")
@pytest.mark.parametrize("mode", [(), ("--workers", "2")], ids=" ".join)
def test_a_hangup_takes_a_new_certificate_and_no_half_of_one(models: Path, mode: tuple[str, ...]) -> None:
    folder = models.parent
    certificate(folder, "one")

    def shown() -> str:
        return ssl.get_server_certificate(("127.0.0.1", server.port), timeout=WAIT)

    options = ("--tls-certificate", str(folder / "cert.pem"), "--tls-key", str(folder / "key.pem"))
    with started(models, *options, *mode) as server:
        first = (folder / "cert.pem").read_text()
        assert shown() == first
        if not mode:
            (folder / "cert.pem").write_text("no certificate")
            server.popen.send_signal(signal.SIGHUP)
            time.sleep(0.3)
            assert shown() == first
        certificate(folder, "two")
        server.popen.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + WAIT
        while shown() != (folder / "cert.pem").read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        code, errors = server.leave()
    assert code == 0
    assert mode or "the certificate stays as it was: " in errors

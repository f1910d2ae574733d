"""Several workers on one port: killed ones come back, rolling restarts refuse nobody, and all leave together."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.serving.publishing import publish

from onnxpress.core import memory

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="workers need fork")
BODY = b'{"inputs":[{"name":"x","shape":[1,32],"datatype":"FP32","data":[' + b",".join([b"0.5"] * 32) + b"]}]}"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    publish(folder, "tiny")
    return folder


class Served:
    """A supervisor with two workers, as a user starts it."""

    def __init__(self, repository: Path) -> None:
        command = [str(Path(sys.executable).with_name("onnxpress")), "serve", str(repository)]
        self.process = subprocess.Popen(
            [*command, "--port", "0", "--workers", "2", "--grace", "5"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline().rpartition(":")[2])

    def workers(self) -> list[int]:
        listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True)
        return sorted(map(int, listed.stdout.split()))

    def ask(self) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request("POST", "/v2/models/tiny/infer", BODY)
            return connection.getresponse().status

    def wait_for(self, condition: object, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():  # type: ignore[operator]
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.02)


@pytest.fixture
def served(repository: Path) -> Iterator[Served]:
    server = Served(repository)
    yield server
    if server.process.poll() is None:
        server.process.terminate()
    server.process.communicate(timeout=60)


class Callers:
    """Threads that ask without pause, each request on a connection of its own, and count what fails."""

    def __init__(self, server: Served, count: int = 4) -> None:
        self.answered, self.failures = 0, []  # type: ignore[var-annotated]
        self._server, self._stop = server, threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(count)]

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                status = self._server.ask()
            except OSError as error:
                self.failures.append(repr(error))
            else:
                if status == 200:
                    self.answered += 1
                else:
                    self.failures.append(str(status))

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)


def test_both_workers_answer_and_sigterm_ends_all(served: Served) -> None:
    workers = served.workers()
    assert len(workers) == 2
    assert {served.ask() for _ in range(20)} == {200}
    served.process.terminate()
    assert served.process.wait(timeout=60) == 0
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]


def test_a_killed_worker_is_back_and_harms_only_its_own_connections(served: Served) -> None:
    with Callers(served) as callers:
        for _ in range(3):
            before = served.workers()
            lost = len(callers.failures)
            os.kill(before[0], signal.SIGKILL)
            served.wait_for(lambda before=before: len(set(served.workers()) - {before[0]}) == 2)
            served.wait_for(lambda: scraped(served)["onnxpress_workers"] == 2)
            reached = callers.answered + 40
            served.wait_for(lambda reached=reached: callers.answered >= reached)
            # At most what each caller had open with the one that was killed.
            assert len(callers.failures) - lost <= 4, callers.failures


def test_a_rolling_restart_fails_no_request(served: Served) -> None:
    with Callers(served) as callers:
        for _ in range(3):
            before = set(served.workers())
            served.process.send_signal(signal.SIGHUP)
            served.wait_for(lambda before=before: not before & set(served.workers()) and len(served.workers()) == 2)
            reached = callers.answered + 40
            served.wait_for(lambda reached=reached: callers.answered >= reached)
    assert callers.failures == []


@pytest.mark.parametrize("moment", ["at once", "a new worker starts", "an old worker leaves"])
def test_sigterm_during_a_rolling_restart_ends_all_in_order(served: Served, moment: str) -> None:
    before = set(served.workers())
    served.process.send_signal(signal.SIGHUP)
    if moment == "a new worker starts":
        served.wait_for(lambda: set(served.workers()) - before)
    elif moment == "an old worker leaves":
        served.wait_for(lambda: before - set(served.workers()))
    workers = served.workers()
    served.process.terminate()
    assert served.process.wait(timeout=60) == 0
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]


def test_sigterm_while_a_replaced_worker_owes_an_answer_is_not_its_second(served: Served) -> None:
    with Callers(served) as callers:  # somebody is always being answered
        served.process.send_signal(signal.SIGHUP)
        before = set(served.workers())
        served.wait_for(lambda: before - set(served.workers()))
        answered = callers.answered
        served.wait_for(lambda: callers.answered > answered)
        served.process.terminate()
        assert served.process.wait(timeout=60) == 0


def got(served: Served, path: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    with contextlib.closing(connection):
        connection.request("GET", path)
        response = connection.getresponse()
        assert response.status == 200
        return response.read().decode()


def scraped(served: Served) -> dict[str, float]:
    lines = got(served, "/metrics").splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


def test_any_worker_answers_metrics_for_all_and_what_was_reported_stays(served: Served) -> None:
    counted = 'onnxpress_requests_total{model="tiny",version="1",outcome="answered"}'
    for _ in range(40):
        assert served.ask() == 200
    found = [scraped(served) for _ in range(8)]
    assert {one[counted] for one in found} == {40}
    assert {one["onnxpress_workers"] for one in found} == {2}
    for path in ["/v2/models/stats", "/v2/models/tiny/stats"] * 4:
        (statistics,) = json.loads(got(served, path))["model_stats"]
        assert statistics["inference_count"] == statistics["inference_stats"]["success"]["count"] == 40
        assert {statistics["inference_stats"][step]["count"] for step in ("queue", "compute_infer")} == {40}
        assert sum(size["compute_infer"]["count"] * size["batch_size"] for size in statistics["batch_stats"]) == 40
    assert found[0]['onnxpress_request_seconds_count{model="tiny",version="1"}'] == 40
    assert found[0]['onnxpress_batch_requests_count{model="tiny",version="1"}'] == 40
    one = memory.of_process(served.workers()[0]).resident
    assert found[0]["process_resident_memory_bytes"] > 1.5 * one
    before = served.workers()
    os.kill(before[0], signal.SIGKILL)
    served.wait_for(lambda: len(set(served.workers()) - {before[0]}) == 2)
    served.wait_for(lambda: scraped(served)["onnxpress_workers"] == 2)
    assert scraped(served)[counted] == 40
    for _ in range(20):
        assert served.ask() == 200
    before = served.workers()
    served.process.send_signal(signal.SIGHUP)  # workers that leave say what they counted to the end
    served.wait_for(lambda: not set(before) & set(served.workers()) and len(served.workers()) == 2)
    served.wait_for(lambda: scraped(served)["onnxpress_workers"] == 2)
    assert {scraped(served)[counted] for _ in range(4)} == {60}


def test_workers_end_when_their_supervisor_is_killed(repository: Path) -> None:
    server = Served(repository)
    workers = server.workers()
    server.process.kill()
    server.process.communicate(timeout=60)
    server.wait_for(lambda: not [pid for pid in workers if Path(f"/proc/{pid}").exists()])


def test_a_start_that_cannot_work_ends_with_the_reason(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("onnxpress")), "serve", str(tmp_path / "none"), "--port", "0"]
    done = subprocess.run([*command, "--workers", "2"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "no such file or folder" in done.stderr


def test_a_port_in_use_is_refused(served: Served, repository: Path) -> None:
    command = [str(Path(sys.executable).with_name("onnxpress")), "serve", str(repository), "--workers", "2"]
    done = subprocess.run([*command, "--port", str(served.port)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "cannot listen" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="the limits of another process are set")
def test_no_descriptor_for_a_worker_now_is_no_end(served: Served) -> None:
    import resource

    assert served.process.stderr is not None
    supervisor = served.process.pid
    before = resource.prlimit(supervisor, resource.RLIMIT_NOFILE)
    used = len(os.listdir(f"/proc/{supervisor}/fd"))
    resource.prlimit(supervisor, resource.RLIMIT_NOFILE, (used, before[1]))
    first, second = served.workers()
    os.kill(first, signal.SIGKILL)
    said = ""
    while "a worker cannot be started" not in said:
        said = served.process.stderr.readline()
        assert said, "it ended"
    assert served.ask() == 200
    os.kill(second, signal.SIGKILL)  # nobody is left to answer, nor anything to answer with
    served.wait_for(lambda: not served.workers())
    resource.prlimit(supervisor, resource.RLIMIT_NOFILE, before)
    served.wait_for(lambda: len(served.workers()) == 2)

    def answered() -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return served.ask() == 200
        return False

    served.wait_for(answered)

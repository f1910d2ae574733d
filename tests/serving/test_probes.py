"""What probes learn, from the first moment to the last: live at once and always, ready when requests are welcome."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.serving.harness import WAIT, ask, infer_body, started
from tests.serving.onnx_models import plain, publish_affine

from onnxpress.serving.models.repository import Repository
from onnxpress.serving.service import ReadyWhen, Service
from onnxpress.serving.settings import ModelSettings

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="workers need fork")
SLOW = [sys.executable, str(Path(__file__).with_name("slow_start.py"))]
SLOWEST = 2.0
"""seconds that an answer may take here; the benchmark, on a machine of its own, holds 0.05"""


class Prober(threading.Thread):
    """Asks a path on new connections, from before the server is there, and keeps what came and how long it took."""

    def __init__(self, port: int, path: str = "/v2/health/live") -> None:
        super().__init__()
        self.port, self.path = port, path
        self.came: list[tuple[float, str, float]] = []
        """when, what, after how many seconds"""
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.01):
            begun = time.monotonic()
            try:
                what = str(ask(self.port, "GET", self.path).status)
            except ConnectionRefusedError:
                what = "refused"
            except (OSError, EOFError) as error:
                what = type(error).__name__
            self.came.append((begun, what, time.monotonic() - begun))

    def __enter__(self) -> Prober:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join(WAIT)

    def until(self, what: str) -> None:
        deadline = time.monotonic() + WAIT
        while not any(one == what for _, one, _ in self.came):
            assert time.monotonic() < deadline, Counter(one for _, one, _ in self.came)
            time.sleep(0.01)

    @property
    def longest(self) -> float:
        return max(seconds for _, _, seconds in self.came)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextlib.contextmanager
def process(*command: str) -> Iterator[subprocess.Popen[str]]:
    popen = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield popen
    finally:
        if popen.poll() is None:
            popen.terminate()
        popen.communicate(timeout=WAIT)


@pytest.mark.parametrize(
    "mode",
    [
        (),
        ("--isolate",),
        pytest.param(("--workers", "2"), marks=forks),
        pytest.param(("--workers", "2", "--isolate"), marks=forks),
    ],
    ids=" ".join,
)
def test_it_is_live_while_models_load_and_ready_afterwards(tmp_path: Path, mode: tuple[str, ...]) -> None:
    publish_affine(tmp_path)
    port = free_port()
    with (
        Prober(port) as live,
        Prober(port, "/v2/health/ready") as ready,
        process(*SLOW, "1.5", "serve", str(tmp_path), "--port", str(port), *mode) as server,
    ):
        assert server.stdout is not None
        assert server.stdout.readline().endswith(f":{port}\n")
        said = time.monotonic()
        ready.until("200")
        server.terminate()
        assert server.wait(WAIT) == 0
        ended = time.monotonic()
        time.sleep(0.05)
    first = next(at for at, what, _ in live.came if what == "200")
    assert said - first > 1.0, "it was not live while it loaded"
    answers = [what for at, what, seconds in live.came if first <= at and at + seconds < ended - 1.0]
    assert set(answers) <= {"200"}
    assert max(live.longest, ready.longest) < SLOWEST
    kinds = [what for _, what, _ in ready.came if what in ("200", "503")]
    assert "503" in kinds[: kinds.index("200")]
    assert live.came[-1][1] == "refused"


@forks
def test_when_every_worker_is_killed_callers_are_told_at_once(tmp_path: Path) -> None:
    publish_affine(tmp_path)
    port = free_port()
    with process(*SLOW, "1", "serve", str(tmp_path), "--port", str(port), "--workers", "2") as server:
        with Prober(port, "/v2/health/ready") as ready:
            ready.until("200")
        with Prober(port) as live, Prober(port, "/v2/models/affine") as model:
            model.until("200")
            for _ in range(3):
                for worker in Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split():
                    with contextlib.suppress(ProcessLookupError):  # it is reaped
                        os.kill(int(worker), signal.SIGKILL)
                time.sleep(0.5)
            before = len(model.came)
            model.until("503")
            deadline = time.monotonic() + WAIT
            while "200" not in {what for _, what, _ in model.came[before + 50 :]}:
                assert time.monotonic() < deadline
                time.sleep(0.05)
    for found in (live, model):
        # Those whom a worker had accepted that was killed lose their connection; nobody is refused, nobody waits.
        assert found.longest < SLOWEST
        cut = [what for _, what, _ in found.came if what not in ("200", "503")]
        assert "refused" not in cut
        assert len(cut) <= 6
    assert {what for _, what, _ in live.came} <= {"200", "EOFError", "ConnectionResetError"}


@pytest.mark.parametrize("mode", [(), pytest.param(("--workers", "2"), marks=forks)], ids=" ".join)
def test_for_the_drain_delay_callers_are_answered_and_then_refused(tmp_path: Path, mode: tuple[str, ...]) -> None:
    publish_affine(tmp_path)
    with started(tmp_path, "--drain-delay", "1", *mode) as server:
        begun = time.monotonic()
        server.popen.send_signal(signal.SIGTERM)
        kinds = set()
        while time.monotonic() < begun + 0.6:
            kinds.add(ask(server.port, "GET", "/v2/health/ready").status)
            assert ask(server.port, "GET", "/v2/health/live").status == 200
            assert ask(server.port, "POST", "/v2/models/affine/infer", infer_body([[1, 2, 3]])).status == 200
        assert kinds <= {200, 503}
        assert 503 in kinds
        assert server.popen.wait(WAIT) == 0
        assert time.monotonic() - begun >= 1.0
        with pytest.raises(ConnectionRefusedError):
            ask(server.port, "GET", "/v2/health/live")


def test_a_second_signal_ends_the_drain_delay(tmp_path: Path) -> None:
    publish_affine(tmp_path)
    with started(tmp_path, "--drain-delay", "600") as server:
        server.popen.send_signal(signal.SIGTERM)
        while ask(server.port, "GET", "/v2/health/ready").status == 200:
            pass
        assert server.leave()[0] == 0


@pytest.mark.parametrize(("ready_when", "expected"), [("all", False), ("any", True), ("started", True)])
def test_what_ready_when_says_of_a_model_that_failed(tmp_path: Path, ready_when: ReadyWhen, expected: bool) -> None:
    publish_affine(tmp_path)
    plain(tmp_path, "broken", b"no")
    service = Service(Repository(tmp_path), ready_when=ready_when)
    assert service.ready is (ready_when == "started")
    service.repository.load()
    assert service.ready is expected
    service.leave()
    assert not service.ready
    service.repository.close()


def test_a_new_version_that_failed_takes_nothing_away(tmp_path: Path) -> None:
    publish_affine(tmp_path)
    plain(tmp_path, "affine", b"no", version=2)
    service = Service(Repository(tmp_path))
    service.repository.load()
    assert service.repository.failed
    assert service.ready
    service.repository.close()


def test_any_is_ready_with_the_first_model_and_answers_for_it(tmp_path: Path) -> None:
    publish_affine(tmp_path, "a")
    publish_affine(tmp_path, "b")
    service = Service(Repository(tmp_path), ready_when="any")
    found = []
    service.repository.load(lambda: found.append((service.ready, sorted(service.repository.models))))
    assert found == [(True, ["a"]), (True, ["a", "b"])]
    service.repository.close()


@pytest.mark.parametrize("mode", [(), pytest.param(("--workers", "2"), marks=forks)], ids=" ".join)
def test_started_is_ready_while_models_load(tmp_path: Path, mode: tuple[str, ...]) -> None:
    publish_affine(tmp_path)
    port = free_port()
    command = (*SLOW, "2", "serve", str(tmp_path), "--port", str(port), "--ready-when", "started", *mode)
    with process(*command) as server:
        assert server.stdout is not None
        assert server.stdout.readline().endswith(f":{port}\n")
        assert ask(port, "GET", "/v2/health/ready").status == 200
        assert ask(port, "POST", "/v2/models/affine/infer", infer_body([[1, 2, 3]])).status == 503
        deadline = time.monotonic() + WAIT
        while ask(port, "POST", "/v2/models/affine/infer", infer_body([[1, 2, 3]])).status != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@forks
@pytest.mark.parametrize("ready_when", ["any", "started"])
def test_a_rolling_restart_waits_for_all_models_whatever_ready_means(tmp_path: Path, ready_when: str) -> None:
    publish_affine(tmp_path)
    command = (*SLOW, "0.5", "serve", str(tmp_path), "--port", "0", "--workers", "2", "--ready-when", ready_when)
    with process(*command) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline().rpartition(":")[2])
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children")
        before = set(children.read_text().split())
        deadline = time.monotonic() + WAIT
        while ask(port, "GET", "/metrics").status != 200 or "onnxpress_workers 2\n" not in (
            ask(port, "GET", "/metrics").body.decode()
        ):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        server.send_signal(signal.SIGHUP)
        while before & set(children.read_text().split()):
            assert ask(port, "POST", "/v2/models/affine/infer", infer_body([[1, 2, 3]])).status == 200
            assert time.monotonic() < deadline


@pytest.mark.parametrize("more", [ModelSettings(poll=1.0), ModelSettings(model_control=True)])
@pytest.mark.parametrize(("ready_when", "expected"), [("all", True), ("any", False), ("started", True)])
def test_an_empty_repository_starts_where_models_may_come(
    tmp_path: Path, more: ModelSettings, ready_when: ReadyWhen, expected: bool
) -> None:
    service = Service(Repository(tmp_path, more), ready_when=ready_when)
    service.repository.load()
    assert service.ready is expected


@pytest.mark.parametrize("mode", [(), pytest.param(("--workers", "2"), marks=forks)], ids=" ".join)
def test_an_empty_repository_waits_for_what_is_published(tmp_path: Path, mode: tuple[str, ...]) -> None:
    with started(tmp_path, "--poll", "0.1", *mode) as server:
        assert ask(server.port, "GET", "/v2/health/live").status == 200
        assert ask(server.port, "POST", "/v2/models/affine/infer", infer_body([[1, 2, 3]])).status == 404
        publish_affine(tmp_path)
        deadline = time.monotonic() + WAIT
        while ask(server.port, "POST", "/v2/models/affine/infer", infer_body([[1, 2, 3]])).status != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert server.leave()[0] == 0

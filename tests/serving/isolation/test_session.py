"""A model in its own process: it answers like any other, and when it crashes or hangs only its own callers notice."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.serving.harness import WAIT, Reply, Running, ask, infer_body, running
from tests.serving.http2_client import Http2Client
from tests.serving.onnx_models import affine, busy, identity, lookup, mixed, model, node, plain, publish_affine

from onnxpress.core.errors import BadModel
from onnxpress.core.manifest import SessionSettings
from onnxpress.serving.engine import Engine
from onnxpress.serving.engine.sessions import Down
from onnxpress.serving.isolation import session
from onnxpress.serving.isolation.session import IsolatedSession
from onnxpress.serving.models.reloading import Reloader
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.protocol.protobuf import decoded, field
from onnxpress.serving.service import Service
from onnxpress.serving.settings import ProcessSettings

ROW = infer_body([[1, 2, 3]])


def wait_for(condition: Callable[[], Any], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Running, Repository]]:
    publish_affine(tmp_path)
    publish_affine(tmp_path, "other")
    plain(tmp_path, "busy", busy())
    plain(tmp_path, "mixed", mixed())
    plain(tmp_path, "lookup", lookup())
    plain(tmp_path, "bf16", identity("bfloat16"))
    repository = Repository(tmp_path, processes=ProcessSettings(isolate=True, run_limit=1.0))
    with running(Service(repository)) as found:
        yield found, repository


def work(server: Running, n: int) -> Reply:
    tensor = {"name": "n", "shape": [1], "datatype": "INT64", "data": [n]}
    return ask(server.port, "POST", "/v2/models/busy/infer", json.dumps({"inputs": [tensor]}).encode())


def infer(server: Running, model: str = "affine") -> Reply:
    return ask(server.port, "POST", f"/v2/models/{model}/infer", ROW)


def process_of(repository: Repository, model: str = "affine") -> int:
    (served,) = repository.models[model].values()
    assert served.engine.process_id is not None
    return served.engine.process_id


def test_it_answers_as_in_process_in_every_type_and_says_what_the_runtime_said(
    server: tuple[Running, Repository], tmp_path: Path
) -> None:
    found, isolated = server
    near = Repository(tmp_path)
    near.load()
    tensors = [
        {"name": "a", "shape": [2, 2], "datatype": "FP32", "data": [1, 2, 3, 4]},
        {"name": "b", "shape": [2, 2], "datatype": "FP32", "data": [1, 1, 1, 1]},
        {"name": "s", "shape": [2], "datatype": "BYTES", "data": ["ä", ""]},
    ]
    answer = ask(found.port, "POST", "/v2/models/mixed/infer", json.dumps({"inputs": tensors}).encode()).json()
    assert [one["data"] for one in answer["outputs"]] == [[2, 3, 4, 5], [1, 2, 3, 4], [1, 1, 1, 1], ["ä", ""]]
    half = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "BF16", "data": [1.5, -2]}]}
    answer = ask(found.port, "POST", "/v2/models/bf16/infer", json.dumps(half).encode()).json()
    assert answer["outputs"][0]["data"] == [1.5, -2]
    empty = {"inputs": [{"name": "x", "shape": [0, 2], "datatype": "BF16", "data": []}]}
    answer = ask(found.port, "POST", "/v2/models/bf16/infer", json.dumps(empty).encode()).json()
    assert answer["outputs"][0]["shape"] == [0, 2]
    beyond = b'{"inputs":[{"name":"i","shape":[1],"datatype":"INT64","data":[99]}]}'
    reply = ask(found.port, "POST", "/v2/models/lookup/infer", beyond)
    assert (reply.status, "99" in reply.json()["error"]) == (400, True)
    assert infer(found).json()["outputs"][0]["data"] == [6, 6]
    tested = isolated.find("affine", None).engine.self_test
    assert tested is not None
    assert tested.cases == 1
    near.close()


def test_a_killed_process_is_back_and_nobody_else_notices(server: tuple[Running, Repository]) -> None:
    found, repository = server
    stop = threading.Event()
    others: list[int] = []

    def ask_on() -> None:
        while not stop.is_set():
            others.append(infer(found, "other").status)

    asker = threading.Thread(target=ask_on)
    asker.start()
    for _ in range(3):
        killed = process_of(repository)
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda: repository.find("affine", None).engine.down)
        reply = infer(found)
        if reply.status != 200:
            assert (reply.status, "signal 9" in reply.json()["error"]) == (503, True)
            assert "retry-after" in reply.headers
        wait_for(lambda: infer(found).status == 200)
        assert process_of(repository) != killed
    stop.set()
    asker.join(60)
    assert set(others) == {200}
    metrics = ask(found.port, "GET", "/metrics").body
    assert b'onnxpress_model_restarts_total{model="affine",version="1"} 3' in metrics
    assert b'onnxpress_model_up{model="affine",version="1"} 1' in metrics


def test_a_run_that_hangs_is_ended_and_others_are_answered_meanwhile(server: tuple[Running, Repository]) -> None:
    found, _ = server
    assert work(found, 10).status == 200
    hung: list[Reply] = []
    thread = threading.Thread(target=lambda: hung.append(work(found, 12_000)))
    thread.start()
    started = time.monotonic()
    while thread.is_alive() and time.monotonic() - started < 60:
        assert infer(found).status == 200
    thread.join(60)
    assert hung[0].status == 503
    assert "did not answer within 1 s" in hung[0].json()["error"]
    wait_for(lambda: work(found, 10).status == 200)


def test_swaps_leave_no_process_behind(server: tuple[Running, Repository], tmp_path: Path) -> None:
    found, repository = server
    reloader = found.call(Reloader, repository)
    for number in range(1, 4):
        old = process_of(repository)
        publish_affine(tmp_path, offset=number)
        asyncio.run_coroutine_threadsafe(reloader.look(), found.loop).result(WAIT)
        assert process_of(repository) != old
        wait_for(lambda old=old: not Path(f"/proc/{old}").exists())
        assert infer(found).json()["outputs"][0]["data"] == [6 + number, 6 + number]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_that_is_killed_takes_its_models_with_it(tmp_path: Path, workers: str) -> None:
    publish_affine(tmp_path)
    command = [str(Path(sys.executable).with_name("onnxpress")), "serve", str(tmp_path), "--isolate", "--port", "0"]
    server = subprocess.Popen([*command, "--workers", workers], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert server.stdout is not None
    assert server.stdout.readline().startswith(b"http")
    below = children(server.pid)
    models = below if workers == "1" else [model for worker in below for model in children(worker)]
    assert len(models) == int(workers)
    server.kill()
    wait_for(lambda: not any(Path(f"/proc/{model}").exists() for model in models))
    server.communicate(timeout=60)


def children(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(pid)], capture_output=True, text=True)
    return [int(line.split()[0]) for line in listed.stdout.splitlines() if "onnxpress" in line]


def model_status(server: Running, name: str) -> tuple[int, int]:
    """State and error code of its version, by gRPC."""
    message = field(1, field(1, name.encode()))
    body = b"\0" + len(message).to_bytes(4, "big") + message
    with Http2Client(server.port) as client:
        path = "/tensorflow.serving.ModelService/GetModelStatus"
        answer = client.answer(client.ask("POST", path, body, [("content-type", "application/grpc")])).body[5:]
    status = {1: ("rows", [{2: ("state", int), 3: ("status", {1: ("code", int)})}])}
    (row,) = decoded(status, answer, "GetModelStatusResponse")["rows"]
    return row["state"], row["status"].get("code", 0)


def test_a_model_that_is_down_is_not_ready(server: tuple[Running, Repository], monkeypatch: pytest.MonkeyPatch) -> None:
    found, repository = server
    monkeypatch.setattr(session, "_COMMAND", (sys.executable, "-c", "raise SystemExit(3)"))
    assert ask(found.port, "GET", "/v2/models/affine/ready").status == 200
    os.kill(process_of(repository), signal.SIGKILL)
    wait_for(lambda: "exit code 3" in repository.find("affine", None).engine.down)
    assert ask(found.port, "GET", "/v2/models/affine/ready").status == 503
    assert ask(found.port, "GET", "/v2/models/other/ready").status == 200
    for name, state in (("affine", "LOADING"), ("other", "AVAILABLE")):
        told = ask(found.port, "GET", f"/v1/models/{name}").json()
        assert (told["ready"], told["model_version_status"][0]["state"]) == (state == "AVAILABLE", state)
        assert model_status(found, name) == {"LOADING": (20, 14), "AVAILABLE": (30, 0)}[state]
    assert "exit code 3" in infer(found).json()["error"]
    monkeypatch.undo()
    wait_for(lambda: infer(found).status == 200)


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import time; time.sleep(60)", "did not load the model within 1 s"),
        ("import os; os.abort()", "signal 6 while loading"),
    ],
)
def test_a_model_that_hangs_or_crashes_at_load_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, reason: str
) -> None:
    monkeypatch.setattr(session, "_COMMAND", (sys.executable, "-c", program))
    with pytest.raises(BadModel, match=reason):
        load(plain(tmp_path, "m", affine()) / "model.onnx", ProcessSettings(isolate=True, load_limit=1.0))


def test_a_model_that_the_runtime_refuses_is_refused_in_its_words(tmp_path: Path) -> None:
    unknown = model([node("Unheard", ["x"], ["y"])], ["x:float32[batch]"], ["y:float32[batch]"])
    with pytest.raises(BadModel, match="ONNX Runtime cannot load it"):
        load(plain(tmp_path, "m", unknown) / "model.onnx", ProcessSettings(isolate=True))


def load(path: Path, limits: ProcessSettings) -> Engine:
    return Engine.load(path, threads=1, open_session=partial(IsolatedSession, limits=limits))


def test_its_process_ends_with_it(tmp_path: Path) -> None:
    engine = load(plain(tmp_path, "m", affine()) / "model.onnx", ProcessSettings(isolate=True))
    process = engine.process_id
    assert Path(f"/proc/{process}").exists()
    engine.close()
    wait_for(lambda: not Path(f"/proc/{process}").exists())


def test_no_memory_for_an_answer_is_a_500_and_nobody_gets_the_rest_of_it(
    server: tuple[Running, Repository], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, repository = server
    served = repository.models["affine"][1]
    wanted = infer(found).body

    sound, torn = session.receive, []

    def half_read(connection: Any, deadline: float | None = None) -> Any:
        if torn:  # the next process is read in whole
            return sound(connection, deadline)
        torn.append(connection)
        connection.settimeout(WAIT)
        connection.recv(5)
        raise MemoryError

    monkeypatch.setattr(session, "receive", half_read)
    assert infer(found).status == 500
    wait_for(lambda: not served.engine.down)
    assert infer(found).body == wanted
    assert served.engine.restarts == 1
    assert found.server.shared.held.taken == 0


def opened(path: Path, settings: SessionSettings | None = None) -> IsolatedSession:
    limits = ProcessSettings(isolate=True)
    return IsolatedSession(str(path), "cpu", settings or SessionSettings(), 1, True, [], limits=limits)


class Failing:
    """`subprocess.Popen` where there is nothing left to start a process with, so many times."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
        self.left, self.asked, self._popen = times, 0, subprocess.Popen
        monkeypatch.setattr(session.subprocess, "Popen", self)
        monkeypatch.setattr(session, "_PAUSES", (0.0, 0.01))

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self.asked += 1
        if self.left:
            self.left -= 1
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return self._popen(*arguments, **options)


def test_a_first_start_for_which_there_is_no_room_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model.onnx").write_bytes(affine())
    failing = Failing(monkeypatch, 2)
    found = opened(tmp_path / "model.onnx")
    assert (failing.asked, found.down) == (3, "")
    found.close()
    assert capfd.readouterr().err.count("its process cannot be started: Too many open files; another is started") == 2


def test_where_there_never_is_room_the_model_is_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.onnx").write_bytes(affine())
    Failing(monkeypatch, 10**9)
    with pytest.raises(BadModel, match="its process cannot be started: Too many open files"):
        opened(tmp_path / "model.onnx")


def test_a_later_start_for_which_there_is_no_room_is_tried_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.onnx").write_bytes(affine())
    found = opened(tmp_path / "model.onnx")
    failing = Failing(monkeypatch, 20)
    assert found.process_id is not None
    os.kill(found.process_id, signal.SIGKILL)
    wait_for(lambda: failing.asked == 21 and not found.down)
    found.close()


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("can't start new thread")])
def test_whatever_keeps_it_from_starting_nobody_waits_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def none(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(session, "_PAUSES", (0.0,))
    monkeypatch.setattr(session.subprocess, "Popen", none)
    with pytest.raises(BadModel, match="cannot be started"):
        opened(publish_affine(tmp_path))


def test_a_path_that_is_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="cannot be told its model"):
        opened(tmp_path / "\udcff")


def test_settings_may_be_longer_than_a_command_line(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(affine())
    names = [f"NoOptimizerOfThatName{number:0100}" for number in range(10_000)]
    found = opened(tmp_path / "model.onnx", SessionSettings(disabled_optimizers=names))
    assert not found.down
    found.close()


def test_a_run_that_nobody_waits_for_is_ended_with_its_process(tmp_path: Path) -> None:
    plain(tmp_path, "busy", busy())
    found = opened(tmp_path / "busy" / "1" / "model.onnx")
    raised: list[BaseException] = []

    def run() -> None:
        try:
            found.run(["y"], {"n": np.array([6000], np.int64)})
        except Down as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    wait_for(found._lock.locked)
    begun = time.monotonic()
    found.abandon()
    thread.join(WAIT)
    found.close()
    assert raised
    assert time.monotonic() - begun < 5


def test_a_run_never_meets_the_socket_of_the_next_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.onnx").write_bytes(affine())
    found = opened(tmp_path / "model.onnx")
    sound, held = session.receive, []

    def late(connection: socket.socket, deadline: float | None = None) -> Any:
        first = found.process_id
        if first is not None and not held:
            os.kill(first, signal.SIGKILL)
            wait_for(lambda: not alive(first))  # whoever waited for it goes on now
            time.sleep(0.2)
            held.append(connection.fileno())
        return sound(connection, deadline)

    try:
        monkeypatch.setattr(session, "receive", late)
        assert found.process_id is not None
        os.kill(found.process_id, signal.SIGSTOP)  # so that it has not answered before it is killed
        with pytest.raises(Down, match="ended while it was asked"):
            found.run(["y"], {"x": np.ones((1, 3), np.float32)})
        wait_for(lambda: not found.down)
    finally:
        found.close()
    assert held[0] >= 0, "it was closed, and its number may be another's"


def alive(process: int) -> bool:
    """Whether it is there; false once its end was waited for."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True

"""Models change while they are asked: no request fails, and what cannot be served leaves the old one alone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.serving import onnx_models
from tests.serving.harness import WAIT, Client, Running, ask, infer_body, request, running
from tests.serving.onnx_models import affine, plain, publish_affine

from onnxpress.core import memory
from onnxpress.serving.models import reloading
from onnxpress.serving.models.reloading import Reloader
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.service import Service

TARGET = "/v2/models/affine/infer"
ZERO = infer_body([[0, 0, 0]])


class Changing(Running):
    """A running server and its reloader."""

    reloader: Reloader

    def do(self, change: Callable[[], Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(change(), self.loop).result(WAIT)

    def look(self) -> None:
        self.do(self.reloader.look)

    def offset(self, target: str = TARGET) -> float:
        reply = ask(self.port, "POST", target, ZERO)
        assert reply.status == 200, reply.body
        return json.loads(reply.body)["outputs"][0]["data"][0]


@pytest.fixture
def server(tmp_path: Path) -> Any:
    publish_affine(tmp_path, offset=1)
    repository = Repository(tmp_path)
    reloader = Reloader(repository)
    with running(Service(repository, control=reloader)) as found:
        changing = Changing(found.port, found.server, found.loop)
        changing.reloader = reloader
        yield changing


def test_a_new_version_takes_over_and_the_old_one_goes(server: Changing, tmp_path: Path) -> None:
    assert server.offset() == 1
    publish_affine(tmp_path, offset=2)
    server.look()
    assert server.offset() == 2
    assert ask(server.port, "POST", "/v2/models/affine/versions/1/infer", ZERO).status == 404
    assert ask(server.port, "GET", "/v2/models/affine").json()["versions"] == ["2"]


def test_a_new_version_with_another_signature_is_named_in_the_index(server: Changing, tmp_path: Path) -> None:
    publish_affine(tmp_path, offset=2)
    server.look()
    (row,) = ask(server.port, "POST", "/v2/repository/index").json()
    assert (row["version"], row["reason"]) == ("2", "")
    plain(tmp_path, "affine", onnx_models.mixing(), version=3)
    server.look()
    server.look()
    (row,) = ask(server.port, "POST", "/v2/repository/index").json()
    assert (row["version"], row["state"]) == ("3", "READY")
    assert row["reason"].startswith("other inputs or outputs than version 2: with y:float32[batch,3]")
    assert "without y:float32[batch,2]" in row["reason"]


@pytest.mark.parametrize("kind", ["liar", "corrupt", "no model"])
def test_a_bad_version_leaves_the_old_one_alone_and_is_named(server: Changing, tmp_path: Path, kind: str) -> None:
    path = publish_affine(tmp_path, offset=2, promised=5.0 if kind == "liar" else None)
    if kind == "corrupt":
        (path / "golden.npz").write_bytes(b"torn")
    if kind == "no model":
        shutil.rmtree(path)
        plain(tmp_path, "affine", b"not a model", version=2)
        server.look()
    server.look()
    assert server.offset() == 1
    index = ask(server.port, "POST", "/v2/repository/index").json()
    assert [(row["version"], row["state"]) for row in index] == [("1", "READY"), ("2", "UNAVAILABLE")]
    assert b'onnxpress_failed_version{model="affine",version="2"} 1' in ask(server.port, "GET", "/metrics").body
    publish_affine(tmp_path, offset=3)
    server.look()
    assert server.offset() == 3
    shutil.rmtree(path)
    server.look()
    assert [row["version"] for row in ask(server.port, "POST", "/v2/repository/index").json()] == ["3"]


def test_a_bad_version_is_not_tried_again_until_it_changes(
    server: Changing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = publish_affine(tmp_path, offset=2)
    whole = (path / "model.onnx").read_bytes()
    (path / "model.onnx").write_bytes(whole[:-20])  # a copy under way
    for _ in range(3):
        server.look()
    assert capsys.readouterr().err.count("NOT serving affine version 2") == 1
    assert server.offset() == 1
    (path / "model.onnx").write_bytes(whole)
    server.look()
    assert server.offset() == 2


def test_a_folder_without_a_manifest_is_left_until_it_rests(server: Changing, tmp_path: Path) -> None:
    folder = plain(tmp_path, "new", affine()[:60])
    server.look()
    (folder / "model.onnx").write_bytes(affine(4.0))
    server.look()
    assert ask(server.port, "GET", "/v2/models/new").status == 404
    server.look()
    assert server.offset("/v2/models/new/infer") == 4


def test_what_is_deleted_goes_and_what_comes_back_comes_back(server: Changing, tmp_path: Path) -> None:
    shutil.move(tmp_path / "affine", tmp_path / ".away")
    publish_affine(tmp_path, "other")
    server.look()
    assert ask(server.port, "POST", TARGET, ZERO).status == 404
    shutil.move(tmp_path / ".away", tmp_path / "affine")
    server.look()
    assert server.offset() == 1


def test_callers_load_and_unload(server: Changing, tmp_path: Path) -> None:
    def change(verb: str, name: str = "affine") -> int:
        return ask(server.port, "POST", f"/v2/repository/models/{name}/{verb}").status

    assert server.offset() == 1
    publish_affine(tmp_path, offset=2)
    assert change("load") == 200
    assert server.offset() == 2
    assert change("unload") == 200
    assert ask(server.port, "POST", TARGET, ZERO).status == 404
    server.look()  # polling does not undo what was asked for
    assert ask(server.port, "POST", TARGET, ZERO).status == 404
    assert change("unload") == 400
    assert change("load", "nobody") == 400
    assert change("load") == 200
    assert server.offset() == 2
    publish_affine(tmp_path, offset=3, promised=0.0)
    assert change("load") == 400
    assert server.offset() == 2
    assert ask(server.port, "GET", "/v2/repository/models/affine/load").status == 405


def test_no_request_fails_while_versions_change(server: Changing, tmp_path: Path) -> None:
    stop = threading.Event()
    seen: list[float] = []
    failures: list[Any] = []

    def ask_on() -> None:
        with Client(server.port) as client:
            while not stop.is_set():
                client.send(request("POST", TARGET, ZERO) * 4)
                for _ in range(4):
                    reply = client.reply()
                    if reply.status == 200:
                        seen.append(reply.json()["outputs"][0]["data"][0])
                    else:
                        failures.append(reply)

    askers = [threading.Thread(target=ask_on) for _ in range(3)]
    for asker in askers:
        asker.start()
    for number in range(2, 22):
        publish_affine(tmp_path, offset=number, promised=0.0 if number % 10 == 0 else None)
        server.look()
    stop.set()
    for asker in askers:
        asker.join(WAIT)
    assert failures == []
    assert set(seen) <= set(range(1, 22)) - {10, 20}
    assert server.offset() == 21


def test_thousands_of_looks_and_hundreds_of_swaps_leave_nothing_behind(server: Changing, tmp_path: Path) -> None:
    if not Path("/proc/self/fd").exists():
        pytest.skip("no /proc here to count open files and memory in")

    def swap(times: int) -> None:
        for number in range(times):
            path = publish_affine(tmp_path, offset=number)
            server.look()
            assert server.offset() == number
            for old in (tmp_path / "affine").iterdir():
                if old != path:
                    shutil.rmtree(old)

    def left() -> tuple[int, int, int]:
        return len(list(Path("/proc/self/fd").iterdir())), threading.active_count(), memory.of_process().resident

    async def looks(times: int) -> None:
        for _ in range(times):
            await server.reloader.look()

    swap(40)
    server.do(lambda: looks(500))
    before, grown = left(), []
    for _ in range(4):  # what leaks grows in each round; what other threads of this process take comes once
        swap(40)
        server.do(lambda: looks(1000))
        after = left()
        grown.append([new - old for new, old in zip(after, before, strict=True)])
        before = after
    files, threads, resident = map(min, zip(*grown, strict=True))
    assert (files <= 0, threads <= 0, resident < 2 << 20) == (True, True, True), grown


def test_many_bad_versions_do_not_keep_a_good_one_waiting(
    server: Changing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each bad one takes an hour by this clock; the one that is served is looked at before each of them."""
    hours, tried = 0, list[str]()
    repository = server.reloader._repository
    try_version = repository.try_version

    def slow(name: str, version: int, path: Path, **how: Any) -> Any:
        nonlocal hours
        hours += name != "affine"
        tried.append(name)
        return try_version(name, version, path, **how)

    monkeypatch.setattr(repository, "try_version", slow)
    monkeypatch.setattr(reloading, "perf_counter", lambda: 3600.0 * hours)
    bad = ["bad-a", "bad-b", "bad-c"]
    for name in bad:
        (publish_affine(tmp_path, name) / "model.onnx").write_bytes(b"")
    server.do(lambda: server.reloader.look(10.0))
    publish_affine(tmp_path, offset=2)
    (tmp_path / "bad-a" / "1" / "model.onnx").write_bytes(b"another")
    for _ in range(3):
        server.do(lambda: server.reloader.look(10.0))
    assert server.offset() == 2
    # Each once, though there was no time for all; and that one has changed was not lost on the looks that left it out.
    assert tried == ["bad-a", "affine", "bad-b", "bad-c", "bad-a"]
    assert {name for name, _ in repository.failed} == set(bad)


def test_what_is_left_out_is_looked_at_without_a_pause(
    server: Changing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reloading, "_LOOK_SECONDS", 0.0)
    for name in ("bad-a", "bad-b", "bad-c"):
        (publish_affine(tmp_path, name) / "model.onnx").write_bytes(b"")
    pauses, repository = list[float](), server.reloader._repository

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 5:
            raise asyncio.CancelledError

    async def watch() -> None:
        with contextlib.suppress(asyncio.CancelledError), monkeypatch.context() as patch:
            patch.setattr(reloading.asyncio, "sleep", sleep)
            await server.reloader.watch(7.0)

    server.do(watch)
    assert {name for name, _ in repository.failed} == {"bad-a", "bad-b", "bad-c"}
    assert pauses == [7.0, 0.0, 0.0, 7.0, 0.0]

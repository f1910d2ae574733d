"""The load measurements in a quick form: what they promise regardless of the machine's speed."""

from __future__ import annotations

import asyncio
import random
import shutil
from pathlib import Path

import pytest
from benchmarks.load import floods, fuzz, overload, soak
from benchmarks.load.process import publish_all
from tests.serving.harness import serving

from onnxpress.serving.handler import handler_of
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.service import Service
from onnxpress.serving.settings import ServerSettings

needs_taskset = pytest.mark.skipif(shutil.which("taskset") is None, reason="taskset pins the server's process")


def test_mutated_bodies_are_answered_and_never_500(tmp_path: Path) -> None:
    publish_all(tmp_path, "tiny", fuzz.BESIDE)
    repository = Repository(tmp_path)
    repository.load()
    statuses, wrong = asyncio.run(fuzz.in_process(handler_of(Service(repository), ServerSettings()), 3, 3000))
    repository.close()
    assert not wrong
    assert statuses[200] > 500
    assert statuses[400] > 500


def test_mutated_requests_over_sockets_are_answered_and_never_500(tmp_path: Path) -> None:
    publish_all(tmp_path, "tiny", fuzz.BESIDE)
    with serving(tmp_path) as server:
        statuses, wrong = asyncio.run(fuzz.over_the_wire(server.port, fuzz.mutants(4, 400)))
        assert not wrong
        assert statuses[200] > 100
        assert statuses[400] > 100


def test_mutants_follow_from_their_number() -> None:
    assert fuzz.mutants(5, 20) == fuzz.mutants(5, 20) != fuzz.mutants(6, 20)
    assert fuzz.mutated(random.Random(0), b"", [b"x"]) is not None


@needs_taskset
def test_overload_is_refused_and_leaves_nothing_behind() -> None:
    found = overload.measure(seconds=1.2, steps=20_000)
    assert found["other_answers"] == 0
    assert found["refused_per_second"] > 0
    assert found["held"]["nothing but 200 and 503"]


@needs_taskset
def test_floods_keep_nobody_from_an_answer() -> None:
    found = floods.measure(connections=50, seconds=0.3)
    times = {promise for promise in found["held"] if "p99" in promise}
    assert [promise for promise, held in found["held"].items() if not held and promise not in times] == []


@needs_taskset
@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk sends the usual requests")
def test_a_short_soak_leaves_no_descriptor() -> None:
    found = soak.measure(requests=3000, warm_up=1000, seconds=1)
    assert found["held"]["no descriptor is left"]
    assert found["held"]["alive"]

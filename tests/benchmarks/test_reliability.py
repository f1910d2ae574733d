"""The reliability runs in their quick form: what they count as failed must be nothing."""

from __future__ import annotations

import os
import shutil
import sys

import pytest

if sys.platform != "linux":
    pytest.skip("the runs read /proc", allow_module_level=True)

from benchmarks.reliability import runs, slow_loads

pytestmark = pytest.mark.skipif(shutil.which("ps") is None, reason="needs ps")


def test_reloads_fail_no_request_and_a_bad_version_never_answers() -> None:
    found = runs.reloads(20)
    assert (found["reloads"], found["bad_versions"]) == (18, 2)
    assert found["failures"] == []
    assert found["answers_of_bad_versions"] == 0


def test_killed_workers_are_back_and_only_their_own_connections_fail() -> None:
    found = runs.kills(3)
    assert found["failures"] == []
    assert found["back_max_s"] < 5 * (4 if (os.getloadavg()[0] > 4) else 1)


def test_rolling_restarts_fail_no_request() -> None:
    found = runs.restarts(2)
    assert found["failures"] == []
    assert found["answered"] > 100


def test_nobody_waits_for_a_worker_that_loads() -> None:
    loaded = os.getloadavg()[0] > 4
    found = slow_loads.slow_loads(6, load_seconds=0.5, longest_pause=1.0, hang_seconds=20.0 if loaded else 2.0)
    assert (found["hang"], found["refused"]) == (0, 0)
    assert found["cut"] == found["cut_on_the_killed_workers_connections"]
    assert set(found["answers"]) <= {"live 200", "infer 200", "infer 503", "cut", "hang"}

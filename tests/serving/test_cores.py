"""`--cores`: a server, its workers and its models' processes run on these CPUs alone."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from tests.serving.harness import started
from tests.serving.onnx_models import publish_affine

from onnxpress.core.errors import UsageError
from onnxpress.serving.cores import keep_to, numbers

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")


def test_a_list_is_read_as_taskset_does() -> None:
    assert numbers("0-2, 5,7-7") == {0, 1, 2, 5, 7}
    for text in ("", "a", "3-1", "1-", "-1", "0,,1", "0-999999"):
        with pytest.raises(UsageError, match="no list of CPUs"):
            numbers(text)


def test_cpus_that_are_not_there_are_refused() -> None:
    with pytest.raises(UsageError, match="may not use all of them"):
        keep_to("0-99999")


@pytest.mark.parametrize("mode", [(), ("--workers", "2"), ("--isolate",)], ids=" ".join)
def test_all_processes_are_kept_to_them(tmp_path: Path, mode: tuple[str, ...]) -> None:
    last = max(os.sched_getaffinity(0))
    publish_affine(tmp_path)
    with started(tmp_path, "--cores", str(last), *mode) as server:
        listed = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(server.popen.pid)], capture_output=True, text=True, timeout=60
        )
        children = [int(pid) for pid in listed.stdout.split()]
        assert len(children) == {(): 0, ("--workers", "2"): 2, ("--isolate",): 1}[mode]
        for pid in (server.popen.pid, *children):
            tasks = os.listdir(f"/proc/{pid}/task")
            assert {frozenset(os.sched_getaffinity(int(task))) for task in tasks} == {frozenset({last})}

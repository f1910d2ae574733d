"""A clock that is put forward or back by an hour harms nobody: what is timed is timed by a clock that only runs on."""

from __future__ import annotations

import ast
import os
import shutil
import struct
import subprocess
import sys
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from tests.serving.harness import MAIN, WAIT, Client, ask, infer_body, request
from tests.serving.onnx_models import publish_affine

import onnxpress.core.version_folder
import onnxpress.serving.server

ROOTS = [Path(module.__file__).parent for module in (onnxpress.core.version_folder, onnxpress.serving.server)]
WALL = {
    "serving/http_date.py": "the Date header",
    "serving/middleware/access_log.py": "when an answer was given, for the log",
    "serving/log.py": "when a line was said, where the log tells it",
    "serving/metrics/latency.py": "when a request was answered, for exemplars and Triton's statistics",
    "serving/tracing/spans.py": "when a span began, for those who look at traces",
    "serving/service.py": "when the process began, for the metrics",
    "serving/cli/tune.py": "when a profile was measured",
    "serving/client/conversation.py": "Retry-After may be a time of day",
    "core/version_folder.py": "what a publisher left behind is as old as its file says; a day, not an hour",
}
"""where the time of day is looked at, and what for"""


def _looks(tree: ast.AST) -> bool:
    """Whether `time.time`, `time.gmtime`, `time.localtime`, or `datetime.now` and its like are used."""
    names = {"time", "time_ns", "gmtime", "localtime", "now", "utcnow", "today", "ctime", "strftime"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            used = {node.attr} if node.value.id in ("time", "datetime", "date") else set()
        elif isinstance(node, ast.ImportFrom):
            used = {alias.name for alias in node.names} if node.module == "time" else set()
        else:
            continue
        if used & names:
            return True
    return False


def test_the_time_of_day_is_looked_at_only_where_it_is_told() -> None:
    found = {
        f"{root.name}/{path.relative_to(root).as_posix()}"
        for root in ROOTS
        for path in root.rglob("*.py")
        if _looks(ast.parse(path.read_text()))
    }
    assert found == set(WALL)


STEPPED = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long step(void) {
    static volatile long *seconds = 0;
    if (!seconds) {
        int file = open(getenv("CLOCK_STEP"), O_RDONLY);
        seconds = mmap(0, sizeof(long), PROT_READ, MAP_SHARED, file, 0);
        close(file);
    }
    return *seconds;
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *) = 0;
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int found = real(clock, at);
    if (!found && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) at->tv_sec += step();
    return found;
}

time_t time(time_t *out) {
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    if (out) *out = at.tv_sec;
    return at.tv_sec;
}

int gettimeofday(struct timeval *at, void *zone) {
    struct timespec found;
    clock_gettime(CLOCK_REALTIME, &found);
    at->tv_sec = found.tv_sec;
    at->tv_usec = found.tv_nsec / 1000;
    return 0;
}
"""


@pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("cc") is None, reason="needs a C compiler, and a loader that preloads"
)
@pytest.mark.parametrize("mode", [(), ("--isolate",), ("--workers", "2")], ids=" ".join)
def test_a_clock_that_steps_is_served_throughout(tmp_path: Path, mode: tuple[str, ...]) -> None:
    (tmp_path / "step.c").write_text(STEPPED)
    library = tmp_path / "step.so"
    build = ["cc", "-shared", "-fPIC", "-o", str(library), str(tmp_path / "step.c"), "-ldl"]
    subprocess.run(build, check=True, timeout=WAIT)
    step = tmp_path / "step"
    step.write_bytes(struct.pack("l", 0))
    models = tmp_path / "models"
    publish_affine(models)
    tokens = tmp_path / "tokens"
    tokens.write_text("one-token-of-many\n")
    with subprocess.Popen(
        [*MAIN, "serve", str(models), "--port", "0", "--poll", "0.2", "--tokens", str(tokens), "--grace", "5", *mode],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "LD_PRELOAD": str(library), "CLOCK_STEP": str(step)},
    ) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline().rpartition(":")[2])
        token = ["authorization: Bearer one-token-of-many"]
        infer = request(
            "POST", "/v2/models/affine/infer", infer_body([[0, 0, 0]], parameters={"timeout": 10_000_000}), token
        )
        with Client(port) as kept, Client(port) as begun:
            begun.send(infer[:-5])
            for number, seconds in enumerate((3600, -3600, 0), 2):
                with step.open("r+b") as file:
                    file.write(struct.pack("l", seconds))
                deadline = time.monotonic() + WAIT
                while abs((_date(port) - datetime.now(UTC)).total_seconds() - seconds) > 60:
                    assert time.monotonic() < deadline, "the step did not reach the server"
                    time.sleep(0.1)
                until = time.monotonic() + 1.5  # every second the connections are looked over
                while time.monotonic() < until:
                    kept.send(infer)
                    assert kept.reply().status == 200
                    time.sleep(0.02)
                publish_affine(models, offset=number)
                answered = None
                while answered != number:
                    assert time.monotonic() < deadline
                    kept.send(infer)
                    reply = kept.reply()
                    assert reply.status == 200
                    answered = reply.json()["outputs"][0]["data"][0]
            begun.send(infer[-5:])
            assert begun.reply().status == 200
        server.terminate()
        assert server.wait(WAIT) == 0


def _date(port: int) -> datetime:
    return parsedate_to_datetime(ask(port, "GET", "/v2/health/live").headers["date"])

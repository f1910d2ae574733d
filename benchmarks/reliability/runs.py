"""The runs: each takes how often, and returns its figures; what must not happen is counted, not raised."""

from __future__ import annotations

import itertools
import shutil
import signal
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.serving.onnx_models import plain, publish_affine
from tests.serving.publishing import publish

from benchmarks import wrk
from benchmarks.reliability.callers import Callers, Failure
from benchmarks.reliability.serving import Serving, serving

AFFINE = "/v2/models/affine/infer"
ZERO = b'{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[0,0,0]}]}'
_BAD = ("answers otherwise than promised", "damaged", "no model at all")
_EXCUSED_SECONDS = 3.0
"""a killed worker's connections fail at once; later a port of theirs may be another's"""
_STEPS = 20_000
"""of the loop in slow.onnx: some 20 ms of one core"""


def reloads(count: int = 200) -> dict[str, Any]:
    """Publish version after version under load, every tenth one bad; the newest good one must answer."""
    waits, kept, wrong = [], 0, 0
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder)
        publish_affine(models, offset=1)
        good = 1.0
        with serving(folder, "--poll", "0.05") as server, Callers(server.port, AFFINE, ZERO) as callers:
            callers.when_answered(1.0)
            for number in range(2, count + 2):
                bad = (number - 1) % 10 == 0
                since = time.monotonic()
                path = (
                    _publish_bad(models, number, _BAD[number // 10 % 3])
                    if bad
                    else publish_affine(models, offset=number)
                )
                if bad:
                    server.when_said(f"NOT serving affine version {path.name}", since)
                    mark = callers.answered
                    _until(lambda mark=mark, callers=callers: callers.answered > mark + 50)
                    kept += 1
                    wrong += float(number) in callers.values
                else:
                    publish_affine(models, offset=number)
                    waits.append(callers.when_answered(float(number)) - since)
                    good = float(number)
                for old in range(max(1, number - 4), number - 2):
                    shutil.rmtree(models / "affine" / str(old), ignore_errors=True)
            _until(lambda: callers.answered > 0)
        last = max(callers.values, key=lambda value: callers.values[value])
        wrong += last != good
    return {
        "reloads": len(waits),
        "bad_versions": kept,
        "answers_of_bad_versions": wrong,
        **_account(callers, callers.failures),
        "publication_to_first_answer_median_s": statistics.median(waits),
        "publication_to_first_answer_max_s": max(waits),
    }


def kills(count: int = 50) -> dict[str, Any]:
    """Kill one of two workers again and again; only requests on its own connections may fail, and it must be back."""
    back: list[float] = []
    own: list[Failure] = []
    other: list[Failure] = []
    with tempfile.TemporaryDirectory() as folder:
        publish_affine(Path(folder))
        with serving(folder, "--workers", "2") as server, Callers(server.port, AFFINE, ZERO) as callers:
            _until(lambda: callers.answered > 100)
            for number in range(count):
                seen = len(callers.failures)
                killed, ports = server.kill(server.workers()[number % 2])
                back.append(server.when_said(" answers, ", killed) - killed)
                mark = callers.answered
                _until(lambda mark=mark, callers=callers: callers.answered > mark + 200)
                for failure in callers.failures[seen:]:
                    excused = failure.port in ports and failure.at - killed < _EXCUSED_SECONDS
                    (own if excused else other).append(failure)
    return {
        "kills": len(back),
        "failed_on_the_killed_workers_connections": len(own),
        **_account(callers, other),
        "back_median_s": statistics.median(back),
        "back_max_s": max(back),
    }


def restarts(count: int = 20) -> dict[str, Any]:
    """Rolling restarts of two workers under load; no request may fail."""
    took: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        publish_affine(Path(folder))
        with serving(folder, "--workers", "2") as server, Callers(server.port, AFFINE, ZERO) as callers:
            _until(lambda: callers.answered > 100)
            for _ in range(count):
                before = set(server.workers())
                since = time.monotonic()
                server.process.send_signal(signal.SIGHUP)
                took.append(server.when_said("rolling restart done", since) - since)
                _until(lambda before=before, server=server: not before & set(server.workers()))
    return {
        "rolling_restarts": len(took),
        **_account(callers, callers.failures),
        "restart_median_s": statistics.median(took),
        "restart_max_s": max(took),
    }


def idle(seconds: float = 30.0) -> dict[str, Any]:
    """The CPU that a server with ten models takes while nobody asks, in per cent of one core."""
    with tempfile.TemporaryDirectory() as folder:
        for number in range(10):
            publish_affine(Path(folder), f"model{number}")
        shares = {}
        for options in ("", "--poll 1", "--workers 2"):
            with serving(folder, *options.split()) as server:
                time.sleep(2.0)
                before, started = server.cpu_seconds(), time.monotonic()
                time.sleep(seconds)
                shares[options or "one process"] = 100 * (server.cpu_seconds() - before) / (time.monotonic() - started)
    return {"models": 10, "seconds": seconds, "percent_of_a_core": shares}


def scaling(rounds: int = 5, seconds: float = 3.0) -> dict[str, Any]:
    """Runs per second of a compute-bound model with two workers against one, one thread each, in turn."""
    body = b'{"inputs":[{"name":"steps","shape":[],"datatype":"INT64","data":[%d]}]}' % _STEPS
    with tempfile.TemporaryDirectory() as folder:
        publish(Path(folder), "slow")
        rates: dict[int, list[float]] = {1: [], 2: []}
        with (
            serving(folder, "--threads", "1") as one,
            serving(folder, "--threads", "1", "--workers", "2") as two,
        ):
            for _, (workers, server) in itertools.product(range(rounds), ((1, one), (2, two))):
                rates[workers].append(_rate(server, body, seconds))
    ratios = [b / a for a, b in zip(rates[1], rates[2], strict=True)]
    return {
        "model": f"slow.onnx, {_STEPS} steps",
        "one_worker_per_second": statistics.median(rates[1]),
        "two_workers_per_second": statistics.median(rates[2]),
        "ratio": statistics.median(ratios),
        "ratios": ratios,
    }


def _rate(server: Serving, body: bytes, seconds: float) -> float:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(f"wrk.method = 'POST'\nwrk.path = '/v2/models/slow/infer'\nwrk.body = '{body.decode()}'\n")
        script.flush()
        # Many connections: the kernel spreads them over the workers by chance.
        return wrk.rate(server.port, Path(script.name), connections=32, seconds=seconds)


def _publish_bad(models: Path, number: int, how: str) -> Path:
    if how == _BAD[2]:
        # Without a manifest it is looked at twice before it is tried.
        version = max(int(path.name) for path in (models / "affine").iterdir() if path.name.isdigit()) + 1
        return plain(models, "affine", b"not a model", version=version)
    if how == _BAD[0]:
        return publish_affine(models, offset=number, promised=number + 1.0)
    path = publish_affine(models.parent / f"{models.name}-aside", offset=number)
    content = bytearray((path / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (path / "model.onnx").write_bytes(content)
    version = max(int(one.name) for one in (models / "affine").iterdir() if one.name.isdigit()) + 1
    target = path.rename(models / "affine" / str(version))
    shutil.rmtree(models.parent / f"{models.name}-aside")
    return target


def _account(callers: Callers, failures: Sequence[Failure]) -> dict[str, Any]:
    ordered = sorted(callers.seconds)
    return {
        "answered": callers.answered,
        "failed": len(failures),
        "failures": sorted({failure.what for failure in failures})[:10],
        "p50_ms": 1e3 * ordered[len(ordered) // 2],
        "p99_ms": 1e3 * ordered[int(len(ordered) * 0.99)],
        "longest_ms": 1e3 * ordered[-1],
    }


def _until(condition: Any, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"it did not happen within {seconds:g} s")
        time.sleep(0.005)

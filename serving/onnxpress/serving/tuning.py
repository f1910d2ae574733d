"""Measuring a model with every number of threads, optimisation level and batch size, each pair in its own process.

A process per pair, because thread pools and memory of one session would be in the way of the next.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Literal

import msgspec

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadModel, OnnxpressError, UsageError
from onnxpress.core.manifest import SessionSettings
from onnxpress.core.version_folder import read_manifest
from onnxpress.serving.engine import Engine, sample_inputs
from onnxpress.serving.engine.signature import share_rows

Level = Literal["none", "basic", "extended", "all"]
Aim = Literal["throughput", "latency"]
LEVELS: tuple[Level, ...] = ("basic", "extended", "all")
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)
_LEAST_RUNS = 5
_LONG_SECONDS = 2.0
"""a batch whose run takes so long is the last that is tried"""
_NEAR = 0.95
"""what comes so near to the best is as good, and the simpler is chosen"""
_PATIENCE_SECONDS = 600.0


class Point(msgspec.Struct, frozen=True):
    """One measurement: median seconds of a run over `batch` rows."""

    threads: int
    optimization: Level
    batch: int
    seconds: float

    @property
    def rows_per_second(self) -> float:
        """Rows answered in a second of runs."""
        return self.batch / self.seconds


class Refused(msgspec.Struct, frozen=True):
    """A pair that could not be measured, and why: it fails the self-test, or the process ended."""

    threads: int
    optimization: Level
    why: str


class _Job(msgspec.Struct, frozen=True):
    model: str
    provider: str
    settings: SessionSettings
    threads: int
    batches: list[int]
    sizes: dict[str, int]
    seconds: float
    custom_ops: list[str]


class _Found(msgspec.Struct, frozen=True):
    seconds: dict[int, float] = {}
    error: str | None = None


def measure(
    model: Path,
    *,
    provider: str,
    threads: Sequence[int],
    levels: Sequence[Level],
    batches: Sequence[int],
    sizes: Mapping[str, int],
    seconds: float,
    custom_ops: Sequence[str] = (),
) -> Iterator[list[Point] | Refused]:
    """The points of one pair of threads and level after another. Each point takes about `seconds`.

    `sizes` gives named dimensions a size where no golden sample does. Raises CorruptVersion for a bad manifest.
    """
    manifest = read_manifest(model.parent)
    settings = manifest.session if manifest else SessionSettings()
    for count in threads:
        for level in levels:
            job = _Job(
                str(model.absolute()),
                provider,
                msgspec.structs.replace(settings, optimization=level),
                count,
                list(batches),
                dict(sizes),
                seconds,
                list(custom_ops),
            )
            found = _in_child(job)
            if found.error is not None:
                yield Refused(count, level, found.error)
            else:
                yield [Point(count, level, batch, taken) for batch, taken in found.seconds.items()]


def best(points: Sequence[Point], aim: Aim, usual: Level) -> tuple[Point, Point]:
    """The point to serve at, and the same pair's point of a single row.

    For throughput the most rows a second, for latency the quickest single row; among those that come near, fewer
    threads, the level that the version was measured with (`usual`), and the smaller batch. Raises BadModel for none.
    """
    if not points:
        raise BadModel("nothing could be measured")
    alone = {(point.threads, point.optimization): point for point in points if point.batch == 1}
    if aim == "latency":
        limit = min(point.seconds for point in alone.values()) / _NEAR
        near = [point for point in points if alone[point.threads, point.optimization].seconds <= limit]
    else:
        near = list(points)
    # Among pairs: what the best batch of each gives.
    tops: dict[tuple[int, Level], float] = {}
    for point in near:
        pair = (point.threads, point.optimization)
        tops[pair] = max(tops.get(pair, 0.0), point.rows_per_second)
    enough = max(tops.values()) * _NEAR if aim == "throughput" else 0.0
    pair = min((pair for pair, top in tops.items() if top >= enough), key=lambda one: (one[0], one[1] != usual, one[1]))
    own = [point for point in near if (point.threads, point.optimization) == pair]
    chosen = min((point for point in own if point.rows_per_second >= tops[pair] * _NEAR), key=lambda one: one.batch)
    return chosen, alone[pair]


class Advice(msgspec.Struct, frozen=True):
    """Which of two providers to serve on, and why."""

    provider: str
    reason: str


def advise(aim: Aim, provider: str, here: tuple[Point, Point], cpu: tuple[Point, Point]) -> Advice:
    """Whether the CPU does as well as `provider`; each pair is what `best` found there.

    A GPU is worth its price where it gains: what is no better on it belongs on the CPU.
    """
    if aim == "latency":
        ours, its = here[1].seconds, cpu[1].seconds
        reason = f"one row takes {1e3 * ours:.3g} ms on {provider} and {1e3 * its:.3g} ms on the CPU"
        gains = ours < its * _NEAR
    else:
        many, its_many = here[0].rows_per_second, cpu[0].rows_per_second
        reason = f"{provider} answers at most {many:,.0f} rows/s and the CPU {its_many:,.0f}"
        gains = its_many < many * _NEAR
    return Advice(provider if gains else "cpu", reason)


def _in_child(job: _Job) -> _Found:
    command = [sys.executable, "-P", "-m", "onnxpress.serving.tuning", msgspec.json.encode(job).decode()]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_PATIENCE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return _Found(error=f"it took more than {_PATIENCE_SECONDS:g} s")
    if done.returncode != 0:
        last = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        return _Found(error=f"the process ended with {done.returncode}: {last}")
    return msgspec.json.decode(done.stdout, type=_Found)


def _child(job: _Job) -> _Found:
    try:
        engine = Engine.load(
            Path(job.model),
            provider=job.provider,
            settings=job.settings,
            threads=job.threads,
            custom_ops=job.custom_ops,
        )
        one = sample_inputs.inputs(engine, Path(job.model), job.sizes)
        rows = share_rows(engine.inputs, engine.outputs)
        found = {}
        for batch in job.batches if rows else [1]:
            feeds = sample_inputs.with_rows(one, batch) if rows else one
            found[batch] = taken = _time(engine, feeds, job.seconds)
            if taken > _LONG_SECONDS:
                break
    except OnnxpressError as error:
        return _Found(error=error.what)
    return _Found(found)


def _time(engine: Engine, feeds: dict[str, Array], seconds: float) -> float:
    engine.run(feeds)
    engine.run(feeds)
    taken: list[float] = []
    started = perf_counter()
    while len(taken) < _LEAST_RUNS or perf_counter() - started < seconds:
        before = perf_counter()
        engine.run(feeds)
        taken.append(perf_counter() - before)
        if taken[-1] > _LONG_SECONDS:
            break
    return statistics.median(taken)


def parse_sizes(texts: Sequence[str]) -> dict[str, int]:
    """`NAME=SIZE` for named dimensions. Raises UsageError."""
    found = {}
    for text in texts:
        name, equals, size = text.partition("=")
        if not equals or not name or not size.isdigit() or not int(size):
            raise UsageError(
                f"{text!r} gives no dimension a size", hint="write --size NAME=SIZE, for example length=128"
            )
        found[name] = int(size)
    return found


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(_child(msgspec.json.decode(sys.argv[1], type=_Job))))

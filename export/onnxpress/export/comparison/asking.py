"""One process, one way to answer, timed: `python -m onnxpress.export.comparison.asking JOB` prints its figures.

A process of its own, so that memory and threads of one way are not in the way of the next.
"""

from __future__ import annotations

import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import OnnxpressError
from onnxpress.core.processing import apply
from onnxpress.core.tensors import TensorSpec
from onnxpress.core.version_folder import MODEL_FILE
from onnxpress.export.comparison.answers import metrics
from onnxpress.export.comparison.figures import Timed
from onnxpress.export.source import SourceRef

_LEAST_RUNS = 5
_MOST_WARM_UPS = 5
_MARK = b"\n==figures== "
"""before the figures on stdout, where the user's own code may print too"""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What a process is to time."""

    ref: SourceRef | None = None
    """the original in its framework"""
    version: Path | None = None
    """or the published version"""
    rows: Path | None = None
    """raw rows for the latter; of either an .npz, whose `target` the answers are held against"""
    batches: list[int]
    seconds: float


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What it says."""

    framework: str = ""
    parameters: int = 0
    eager: Timed = Timed()
    compiled: Timed = Timed()
    peak_memory: int = 0
    metrics: dict[str, float] = {}
    failed: str = ""


def in_a_process(job: Job, *, patience: float) -> Asked:
    """Do the job in a child; what went wrong is in `failed`."""
    import subprocess

    command = [
        sys.executable,
        "-P",
        "-m",
        "onnxpress.export.comparison.asking",
        msgspec.json.encode(job, enc_hook=os.fspath).decode(),
    ]
    try:
        done = subprocess.run(command, capture_output=True, timeout=patience, check=False)
    except subprocess.TimeoutExpired:
        return Asked(failed=f"it took more than {patience:g} s")
    _, mark, figures = done.stdout.rpartition(_MARK)
    if done.returncode != 0 or not mark:
        last = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        return Asked(failed=f"the process ended with {done.returncode}: {last}")
    return msgspec.json.decode(figures, type=Asked)


def timed(ask: Callable[[Mapping[str, Array]], object], feeds: Mapping[str, Array], job: Job) -> Timed:
    """Median seconds for each batch size, of at least five runs.

    Runs are not counted before one takes at least half of the time of the one before it: a compiler may compile more
    than once.
    """
    first, found = None, {}
    try:
        for batch in job.batches:
            rows = {name: np.resize(value, (batch, *value.shape[1:])) for name, value in feeds.items()}
            before = _seconds(ask, rows)
            first = before if first is None else first
            for _ in range(_MOST_WARM_UPS - 1):
                now = _seconds(ask, rows)
                before, falls = now, now < before / 2
                if not falls:
                    break
            taken: list[float] = []
            began = time.perf_counter()
            while len(taken) < _LEAST_RUNS or time.perf_counter() - began < job.seconds:
                taken.append(_seconds(ask, rows))
            found[batch] = statistics.median(taken)
    except Exception as error:  # a compiler's own, of which there are many
        return Timed(seconds=found, first=first, failed=" ".join(f"{type(error).__name__}: {error}".split())[:300])
    return Timed(seconds=found, first=first)


def _seconds(ask: Callable[[Mapping[str, Array]], object], rows: Mapping[str, Array]) -> float:
    """Of one run."""
    started = time.perf_counter()
    ask(rows)
    return time.perf_counter() - started


def _of_framework(job: Job) -> Asked:
    from onnxpress.export.network import Compilable
    from onnxpress.export.networks.wrap import wrap
    from onnxpress.export.sources.resolve import resolve

    assert job.ref is not None
    source = resolve(job.ref)
    network = wrap(source)
    rows = source.samples or network.examples(8) or _made_up(source.inputs or network.inputs)
    made = apply(source.processing.before, rows)
    feeds = {spec.name: made[spec.name] for spec in network.inputs}
    eager = timed(lambda given: network.run(dict(given), "float32"), feeds, job)
    peak = _peak()
    compiled = Timed(failed="this kind of model is not compiled")
    if isinstance(network, Compilable):
        ask = network.compiled()
        compiled = timed(lambda given: ask(dict(given)), feeds, job)
    return Asked(
        framework=source.framework,
        parameters=sum(value.size for value in network.parameters().values()),
        eager=eager,
        compiled=compiled,
        peak_memory=peak,
        metrics={} if job.rows is None else metrics(network.run(feeds, "float32"), job.rows),
    )


def _made_up(inputs: list[TensorSpec]) -> dict[str, Array]:
    from onnxpress.export.equivalence.cases import cases

    return max(cases(inputs, {}), key=lambda case: (case.kind == "generated", case.batch)).feeds


def _of_runtime(job: Job) -> Asked:
    from onnxpress.serving.engine import Engine, sample_inputs

    assert job.version is not None
    model = job.version / MODEL_FILE
    engine = Engine.load(model)
    if job.rows is not None:
        from onnxpress.export.sources.samples import read_samples

        rows = read_samples(job.rows)
        rows = {spec.name: rows[spec.name] for spec in engine.inputs}
    else:
        rows = sample_inputs.inputs(engine, model)
    eager = timed(lambda given: engine.run(dict(given)), rows, job)
    return Asked(
        eager=eager, peak_memory=_peak(), metrics={} if job.rows is None else metrics(engine.run(rows), job.rows)
    )


def _peak() -> int:
    """Bytes; Linux counts in KiB, macOS in bytes."""
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size * 1024


def _main(text: str) -> None:
    job = msgspec.json.decode(text, type=Job, dec_hook=lambda kind, value: kind(value))
    try:
        found = _of_framework(job) if job.ref is not None else _of_runtime(job)
    except OnnxpressError as error:
        found = Asked(failed=str(error))
    sys.stdout.flush()
    sys.stdout.buffer.write(_MARK + msgspec.json.encode(found))


if __name__ == "__main__":
    _main(sys.argv[1])

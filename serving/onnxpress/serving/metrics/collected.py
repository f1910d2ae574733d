"""What the server has done, in Prometheus's text format, counted in one process or summed over several."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import msgspec

from onnxpress.core.memory import of_process

if TYPE_CHECKING:
    from onnxpress.serving.models.repository import Served
    from onnxpress.serving.service import Service

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_STARTED = time.time()


class Family(msgspec.Struct):
    """A metric with all its samples; `over` says how samples of several processes become one."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    meaning: str
    over: Literal["sum", "min", "max"] = "sum"
    samples: dict[str, float] = {}
    """name and labels as they are written → value"""

    def put(self, labels: Mapping[str, str], value: float, suffix: str = "") -> None:
        """Add one sample."""
        self.samples[_sample(self.name + suffix, labels)] = float(value)

    def get(self, labels: Mapping[str, str]) -> float:
        """One sample; 0 where there is none."""
        return self.samples.get(_sample(self.name, labels), 0.0)


def _sample(name: str, labels: Mapping[str, str]) -> str:
    """Name and labels as they are written."""
    escaped = [
        '{}="{}"'.format(key, text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n"))
        for key, text in labels.items()
    ]
    return f"{name}{{{','.join(escaped)}}}" if escaped else name


def text(families: Iterable[Family]) -> bytes:
    """The families in Prometheus's text format."""
    lines = []
    for family in families:
        if not family.samples:
            continue
        lines.append(f"# HELP {family.name} {family.meaning}\n# TYPE {family.name} {family.kind}\n")
        lines += [f"{name} {value:.17g}\n" for name, value in family.samples.items()]
    return "".join(lines).encode()


def merged(processes: Sequence[Sequence[Family]]) -> list[Family]:
    """One set of families for several processes, each sample by its family's rule."""
    found: dict[str, Family] = {}
    for families in processes:
        for family in families:
            whole = found.setdefault(family.name, msgspec.structs.replace(family, samples={}))
            for name, value in family.samples.items():
                known = whole.samples.get(name)
                if known is None:
                    whole.samples[name] = value
                elif family.over == "sum":
                    whole.samples[name] = known + value
                else:
                    whole.samples[name] = min(known, value) if family.over == "min" else max(known, value)
    return list(found.values())


def families(service: Service) -> list[Family]:
    """Every metric of this process."""
    return [*_server(service), *_models(service.repository.all()), *_process()]


def _server(service: Service) -> Iterator[Family]:
    # With several workers it is ready when all are; with one that starts again, the others' word is enough for callers.
    ready = Family("onnxpress_ready", "gauge", "1 while requests are welcome.", "max", {})
    ready.put({}, service.ready)
    yield ready
    workers = Family("onnxpress_workers", "gauge", "Processes that answer.", samples={})
    workers.put({}, service.ready)
    yield workers
    connections = Family("onnxpress_connections", "gauge", "Open connections.", samples={})
    connections.put({}, service.connections())
    yield connections
    answers = Family("onnxpress_answers_total", "counter", "HTTP answers other than 200, by status.", samples={})
    for status, count in sorted(service.errors.items()):
        answers.put({"code": str(status)}, count)
    yield answers
    failed = Family(
        "onnxpress_failed_version", "gauge", "1 for a version that could not be loaded; the log says why.", "max", {}
    )
    for name, version in service.repository.failed:
        failed.put({"model": name, "version": str(version)}, 1)
    yield failed


def _models(served: Sequence[Served]) -> list[Family]:
    requests = Family(
        "onnxpress_requests_total",
        "counter",
        "Inference requests: answered, failed in the model, refused as not fitting, rejected by a full queue, "
        "and not run because their timeout was over (expired) or their caller had gone (cancelled).",
        samples={},
    )
    waiting = Family("onnxpress_waiting", "gauge", "Requests in the queue now.", samples={})
    runs = Family("onnxpress_runs_total", "counter", "Runs of the model.", samples={})
    seconds = Family("onnxpress_run_seconds_total", "counter", "Seconds spent in runs of the model.", samples={})
    batches = Family("onnxpress_batch_requests", "histogram", "Requests that shared a run.", samples={})
    load = Family("onnxpress_load_seconds", "gauge", "How long loading and the self-test took.", "max", {})
    verified = Family(
        "onnxpress_verified", "gauge", "1 where the export was measured equivalent to its source.", "min", {}
    )
    multiple = Family(
        "onnxpress_self_test_multiple", "gauge", "Worst error of the golden samples here, in noise floors.", "max", {}
    )
    replay = Family("onnxpress_self_test_seconds", "gauge", "How long replaying them took.", "max", {})
    restarts = Family(
        "onnxpress_model_restarts_total",
        "counter",
        "New starts of an isolated model's process.",
        samples={},
    )
    up = Family("onnxpress_model_up", "gauge", "1 while an isolated model's process answers.", "min", {})
    memory = Family("onnxpress_model_memory_bytes", "gauge", "Resident memory of an isolated model.", samples={})
    for one in served:
        labels = {"model": one.name, "version": str(one.version)}
        counts, engine = one.batcher.counts, one.engine
        for outcome in ("answered", "failed", "refused", "rejected", "expired", "cancelled"):
            requests.put({**labels, "outcome": outcome}, getattr(counts, outcome))
        waiting.put(labels, one.batcher.waiting)
        runs.put(labels, engine.runs)
        seconds.put(labels, engine.run_seconds)
        _put_histogram(batches, labels, counts.batches)
        load.put(labels, one.load_seconds)
        verified.put(labels, engine.manifest is not None and engine.manifest.equivalence.equivalent)
        if engine.self_test is not None:
            multiple.put(labels, engine.self_test.worst_multiple)
            replay.put(labels, engine.self_test.seconds)
        if engine.restarts is not None:
            restarts.put(labels, engine.restarts)
            up.put(labels, not engine.down)
            memory.put(labels, _resident(engine.process_id))
    return [requests, waiting, runs, seconds, batches, load, verified, multiple, replay, restarts, up, memory]


def _resident(process_id: int | None) -> int:
    """Bytes; 0 where that process is not there, or this system has no /proc."""
    try:
        return 0 if process_id is None else of_process(process_id).resident
    except OSError:
        return 0


def _put_histogram(family: Family, labels: Mapping[str, str], counts: Mapping[int, int]) -> None:
    for bound in _BUCKETS:
        below = sum(count for size, count in counts.items() if size <= bound)
        family.put({**labels, "le": str(bound)}, below, "_bucket")
    total = sum(counts.values())
    family.put({**labels, "le": "+Inf"}, total, "_bucket")
    family.put(labels, sum(size * count for size, count in counts.items()), "_sum")
    family.put(labels, total, "_count")


def _process() -> Iterator[Family]:
    cpu = Family("process_cpu_seconds_total", "counter", "User and system CPU seconds.", samples={})
    cpu.put({}, time.process_time())
    yield cpu
    started = Family(
        "process_start_time_seconds", "gauge", "When the server was started, in seconds of Unix time.", "min", {}
    )
    started.put({}, _STARTED)
    yield started
    try:
        resident, shared = of_process()
        descriptors = len(os.listdir("/proc/self/fd"))
    except OSError:  # no /proc here: macOS, Windows
        return
    memory = Family("process_resident_memory_bytes", "gauge", "Resident memory.", samples={})
    memory.put({}, resident)
    yield memory
    # What every worker maps of one file is resident in each and there once: the sum of the private part is the truth.
    kinds = Family("onnxpress_memory_bytes", "gauge", "Resident memory, its own or mapped from files.", samples={})
    kinds.put({"kind": "private"}, resident - shared)
    kinds.put({"kind": "mapped"}, shared)
    yield kinds
    files = Family("process_open_fds", "gauge", "Open file descriptors.", samples={})
    files.put({}, descriptors)
    yield files

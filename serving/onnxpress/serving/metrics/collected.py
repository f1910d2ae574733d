"""What the server has done, counted in this process."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence

from onnxpress.core import memory
from onnxpress.serving import log
from onnxpress.serving.metrics import latency
from onnxpress.serving.metrics.family import Family
from onnxpress.serving.models.reasons import for_callers
from onnxpress.serving.models.served import Served
from onnxpress.serving.service import Service

_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


def families(service: Service) -> list[Family]:
    """Every metric of this process."""
    served = service.repository.all()
    return [*_server(service), *_models(served), *latency.families(served), *_process(service.started)]


def _server(service: Service) -> Iterator[Family]:
    # With several workers it is ready when all are; with one that starts again, the others' word is enough for callers.
    ready = Family("onnxpress_ready", "gauge", "1 while requests are welcome.", "max", {})
    ready.put({}, service.ready)
    yield ready
    workers = Family("onnxpress_workers", "gauge", "Processes that answer.", samples={})
    workers.put({}, service.repository.ready and not service.leaving)
    yield workers
    connections = Family("onnxpress_connections", "gauge", "Open connections.", samples={})
    connections.put({}, service.traffic.connections)
    yield connections
    answers = Family("onnxpress_answers_total", "counter", "HTTP answers other than 200, by status.", samples={})
    for status, count in sorted(service.traffic.errors.items()):
        answers.put({"code": str(status)}, count)
    yield answers
    lost = Family("onnxpress_log_dropped_total", "counter", "Lines of the log that could not be written.", samples={})
    lost.put({}, log.dropped())
    yield lost
    traced = Family("onnxpress_traced_requests_total", "counter", "Traced requests whose spans a collector took.")
    traced.put({}, 0 if service.exporting is None else service.exporting.sent)
    yield traced
    untold = Family(
        "onnxpress_traced_requests_lost_total",
        "counter",
        "Traced requests whose spans are lost: too many waited, or no collector took them.",
    )
    untold.put({}, 0 if service.exporting is None else service.exporting.dropped)
    yield untold
    failed = Family(
        "onnxpress_failed_version", "gauge", "1 for a version that could not be loaded; the log says why.", "max", {}
    )
    for name, version in service.repository.failed:
        failed.put({"model": name, "version": str(version)}, 1)
    yield failed
    why = Family("onnxpress_failed_version_info", "gauge", "The same, with the reason.", "max", {})
    for (name, version), reason in service.repository.failed.items():
        why.put({"model": name, "version": str(version), "reason": for_callers(reason)}, 1)
    yield why
    skipped = Family("onnxpress_skipped_folder", "gauge", "1 for what lies in the folder and is no version.", "max", {})
    for path, reason in service.repository.skipped.items():
        skipped.put({"path": path, "reason": for_callers(reason)}, 1)
    yield skipped


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
    accepted = Family(
        "onnxpress_accepted_refusal", "gauge", "1 for a refused export that was published knowingly.", "max", {}
    )
    derived = Family("onnxpress_derived", "gauge", "1 for a version in fewer bits, with its parent.", "max", {})
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
    resident = Family("onnxpress_model_memory_bytes", "gauge", "Resident memory of an isolated model.", samples={})
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
        if engine.manifest is not None and (made_of := engine.manifest.derived_from) is not None:
            derived.put({**labels, "precision": made_of.precision, "parent": str(made_of.version)}, 1)
        elif engine.manifest is not None and (reason := engine.manifest.equivalence.accepted):
            accepted.put({**labels, "reason": reason}, 1)
        if engine.self_test is not None:
            multiple.put(labels, engine.self_test.worst_multiple)
            replay.put(labels, engine.self_test.seconds)
        if engine.restarts is not None:
            restarts.put(labels, engine.restarts)
            up.put(labels, not engine.down)
            resident.put(labels, _resident(engine.process_id))
    return [
        requests,
        waiting,
        runs,
        seconds,
        batches,
        load,
        verified,
        accepted,
        derived,
        multiple,
        replay,
        restarts,
        up,
        resident,
    ]


def _resident(process_id: int | None) -> int:
    """Bytes; 0 where that process is not there, or this system has no /proc."""
    try:
        return 0 if process_id is None else memory.of_process(process_id).resident
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


def _process(began: float) -> Iterator[Family]:
    cpu = Family("process_cpu_seconds_total", "counter", "User and system CPU seconds.", samples={})
    cpu.put({}, time.process_time())
    yield cpu
    started = Family(
        "process_start_time_seconds", "gauge", "When the server was started, in seconds of Unix time.", "min", {}
    )
    started.put({}, began)
    yield started
    try:
        held = memory.of_process()
        descriptors = len(os.listdir("/proc/self/fd"))
    except OSError:  # no /proc here: macOS, Windows
        return
    resident = Family("process_resident_memory_bytes", "gauge", "Resident memory.", samples={})
    resident.put({}, held.resident)
    yield resident
    # What every worker maps of one file is resident in each and there once: the sum of the private part is the truth.
    kinds = Family("onnxpress_memory_bytes", "gauge", "Resident memory, its own or mapped from files.", samples={})
    kinds.put({"kind": "private"}, held.resident - held.shared)
    kinds.put({"kind": "mapped"}, held.shared)
    yield kinds
    files = Family("process_open_fds", "gauge", "Open file descriptors.", samples={})
    files.put({}, descriptors)
    yield files

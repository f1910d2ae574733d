"""What the server has done, in Prometheus's text format, written when it is asked for."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnxpress.serving.repository import Served
    from onnxpress.serving.service import Service

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_STARTED = time.time()


def text(service: Service) -> bytes:
    """Every metric."""
    return "".join(_lines(service)).encode()


def _lines(service: Service) -> Iterator[str]:
    served = service.repository.all()
    yield _head("onnxpress_ready", "gauge", "1 while requests are welcome.") + _line(
        "onnxpress_ready", {}, service.ready
    )
    yield _head("onnxpress_connections", "gauge", "Open connections.")
    yield _line("onnxpress_connections", {}, service.connections())
    yield _head("onnxpress_answers_total", "counter", "HTTP answers other than 200, by status.")
    for status, count in sorted(service.errors.items()):
        yield _line("onnxpress_answers_total", {"code": str(status)}, count)
    yield _head(
        "onnxpress_requests_total",
        "counter",
        "Inference requests: answered, failed in the model, refused as not fitting, rejected by a full queue, "
        "and not run because their timeout was over (expired) or their caller had gone (cancelled).",
    )
    for one in served:
        counts = one.batcher.counts
        for outcome in ("answered", "failed", "refused", "rejected", "expired", "cancelled"):
            yield _line("onnxpress_requests_total", {**_of(one), "outcome": outcome}, getattr(counts, outcome))
    yield _head("onnxpress_waiting", "gauge", "Requests in the queue now.")
    yield from (_line("onnxpress_waiting", _of(one), one.batcher.waiting) for one in served)
    yield _head("onnxpress_runs_total", "counter", "Runs of the model.")
    yield from (_line("onnxpress_runs_total", _of(one), one.engine.runs) for one in served)
    yield _head("onnxpress_run_seconds_total", "counter", "Seconds spent in runs of the model.")
    yield from (_line("onnxpress_run_seconds_total", _of(one), one.engine.run_seconds) for one in served)
    yield _head("onnxpress_batch_requests", "histogram", "Requests that shared a run.")
    for one in served:
        yield from _histogram("onnxpress_batch_requests", _of(one), one.batcher.counts.batches)
    yield _head("onnxpress_load_seconds", "gauge", "How long loading and the self-test took.")
    yield from (_line("onnxpress_load_seconds", _of(one), one.load_seconds) for one in served)
    yield _head("onnxpress_verified", "gauge", "1 where the export was measured equivalent to its source.")
    for one in served:
        manifest = one.engine.manifest
        yield _line("onnxpress_verified", _of(one), manifest is not None and manifest.equivalence.equivalent)
    yield _head("onnxpress_self_test_multiple", "gauge", "Worst error of the golden samples here, in noise floors.")
    for one in served:
        if one.engine.self_test is not None:
            yield _line("onnxpress_self_test_multiple", _of(one), one.engine.self_test.worst_multiple)
    yield _head("onnxpress_failed_version", "gauge", "1 for a version that could not be loaded; the log says why.")
    for name, version in service.repository.failed:
        yield _line("onnxpress_failed_version", {"model": name, "version": str(version)}, 1)
    yield from _process()


def _process() -> Iterator[str]:
    yield _head("process_cpu_seconds_total", "counter", "User and system CPU seconds.")
    yield _line("process_cpu_seconds_total", {}, time.process_time())
    yield _head("process_start_time_seconds", "gauge", "When the server was started, in seconds of Unix time.")
    yield _line("process_start_time_seconds", {}, _STARTED)
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        descriptors = len(os.listdir("/proc/self/fd"))
    except OSError:  # no /proc here: macOS, Windows
        return
    yield _head("process_resident_memory_bytes", "gauge", "Resident memory.")
    yield _line("process_resident_memory_bytes", {}, pages * os.sysconf("SC_PAGE_SIZE"))
    yield _head("process_open_fds", "gauge", "Open file descriptors.")
    yield _line("process_open_fds", {}, descriptors)


def _of(served: Served) -> dict[str, str]:
    return {"model": served.name, "version": str(served.version)}


def _head(name: str, kind: str, meaning: str) -> str:
    return f"# HELP {name} {meaning}\n# TYPE {name} {kind}\n"


def _line(name: str, labels: Mapping[str, str], value: float) -> str:
    escaped = [
        '{}="{}"'.format(key, text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n"))
        for key, text in labels.items()
    ]
    shown = f"{{{','.join(escaped)}}}" if escaped else ""
    return f"{name}{shown} {float(value):.17g}\n"


def _histogram(name: str, labels: Mapping[str, str], counts: Mapping[int, int]) -> Iterator[str]:
    for bound in _BUCKETS:
        below = sum(count for size, count in counts.items() if size <= bound)
        yield _line(f"{name}_bucket", {**labels, "le": str(bound)}, below)
    total = sum(counts.values())
    yield _line(f"{name}_bucket", {**labels, "le": "+Inf"}, total)
    yield _line(f"{name}_sum", labels, sum(size * count for size, count in counts.items()))
    yield _line(f"{name}_count", labels, total)

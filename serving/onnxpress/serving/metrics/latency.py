"""How long requests took, as metrics: histograms for each model, and what Triton's statistics want besides."""

from __future__ import annotations

import time
from collections.abc import Sequence

from onnxpress.serving.batching.latencies import STEPS, Histogram, bound
from onnxpress.serving.metrics.family import Exemplar, Family, written
from onnxpress.serving.models.served import Served

PHASES = ("queue", "decode", "run", "encode")
STEPS_OF_A_RUN = ("input", "infer", "output")
_SHOWN = range(0, 21 * STEPS, STEPS)
"""the buckets whose bounds are those of the classic ones: 7.6 µs to 8 s"""
_BOUNDS = [f"{bound(place):.17g}" for place in _SHOWN]


def families(served: Sequence[Served]) -> list[Family]:
    """Of this process."""
    request = Family(
        "onnxpress_request_seconds",
        "histogram",
        "From a request's body being here until its answer is written, for those that were answered.",
    )
    phase = Family(
        "onnxpress_request_phase_seconds",
        "histogram",
        "The same by phase: waiting (queue), reading the body and making arrays (decode), the model (run), "
        "writing the answer (encode).",
    )
    failed = Family(
        "onnxpress_failed_request_seconds_total",
        "counter",
        "Seconds from the bodies of requests being here until they were refused or had failed.",
    )
    last = Family("onnxpress_last_answer_seconds", "gauge", "When a request was last answered.", "max")
    sizes = Family("onnxpress_runs_of_size", "counter", "Runs and their seconds.", scraped=False)
    # What is timed is timed by the clock that only runs on; the time of day is for whoever reads it.
    shift = time.time() - time.perf_counter()
    for one in served:
        labels = {"model": one.name, "version": str(one.version)}
        found = one.batcher.counts.latencies
        _put(request, written(labels), found.request, shift)
        for name in PHASES:
            _put(phase, written({**labels, "phase": name}), getattr(found, name), shift)
        failed.put(labels, found.failed_seconds)
        if found.last:
            last.put(labels, found.last + shift)
        for rows, times in found.sizes.items():
            of_size = {**labels, "rows": str(rows)}
            sizes.put(of_size, times.runs)
            for step in STEPS_OF_A_RUN:
                sizes.put({**of_size, "step": step}, getattr(times, step), "_seconds")
    return [request, phase, failed, last, sizes]


def _put(family: Family, labels: str, histogram: Histogram, shift: float) -> None:
    """The histogram's samples: how many took at most so long, for each bound; their sum, and their number."""
    counts, below, at = histogram.counts, 0, 0
    for place, text in zip(_SHOWN, _BOUNDS, strict=True):
        below += sum(counts[at : place + 1])
        at = place + 1
        family.samples[f'{family.name}_bucket{{{labels},le="{text}"}}'] = float(below)
    total = below + sum(counts[at:])
    family.samples[f'{family.name}_bucket{{{labels},le="+Inf"}}'] = float(total)
    family.samples[f"{family.name}_sum{{{labels}}}"] = histogram.seconds
    family.samples[f"{family.name}_count{{{labels}}}"] = float(total)
    family.fine[labels] = {place: count for place, count in enumerate(counts) if count}
    for place, (trace, seconds, ended) in sorted(histogram.exemplars.items(), key=lambda one: one[1][2]):
        shown = min(-(-place // STEPS), len(_BOUNDS))
        text = _BOUNDS[shown] if shown < len(_BOUNDS) else "+Inf"
        family.exemplars[f'{family.name}_bucket{{{labels},le="{text}"}}'] = Exemplar(trace, seconds, ended + shift)

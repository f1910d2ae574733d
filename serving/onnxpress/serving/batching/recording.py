"""What a batch took, once its requests are answered, into the model's histograms."""

from __future__ import annotations

from onnxpress.serving.batching.batch_run import Waiting
from onnxpress.serving.batching.latencies import Latencies
from onnxpress.serving.timing import RunTimes


def record(batch: list[Waiting], latencies: Latencies, now: float | None = None) -> None:
    """Count them. `now`: when they were answered, where that was later than the writing. On the event loop's thread.

    Usually all shared one run; where one could not be answered with the others, some had their own.
    """
    shared: RunTimes | None = None
    requests = rows = 0
    for one in batch:
        inputs = one.inputs
        run = inputs.run
        if run is None:  # its caller had gone
            continue
        if run.failed:
            latencies.failed_seconds += (run.written if now is None else now) - inputs.came
            continue
        if run is not shared:
            if shared is not None:
                latencies.ran(shared, requests, rows)
            shared, requests, rows = run, 0, 0
        requests += 1
        rows += inputs.rows
        latencies.add(inputs, run, run.written if now is None else now)
    if shared is not None:
        latencies.ran(shared, requests, rows)

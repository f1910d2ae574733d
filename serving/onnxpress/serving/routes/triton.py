"""Triton's extensions of V2 as its clients read them: model configuration, statistics, repository index."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from onnxpress.core.tensors import TensorSpec
from onnxpress.serving.metrics.family import Family, sample
from onnxpress.serving.metrics.latency import PHASES, STEPS_OF_A_RUN
from onnxpress.serving.models.reasons import for_callers
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.models.served import Served
from onnxpress.serving.protocol import parameters
from onnxpress.serving.protocol.datatypes import DATATYPE_OF
from onnxpress.serving.protocol.refusal import Refusal
from onnxpress.serving.protocol.tensor_data import NOT_JSON


def config(served: Served) -> bytes:
    """The model's configuration. `dims` leave the batch out where requests are run together, as in Triton."""
    engine, batcher = served.engine, served.batcher
    most = batcher.max_rows if batcher.batches else 0
    kind = "KIND_CPU" if engine.provider == "cpu" else "KIND_GPU"
    document: dict[str, Any] = {
        "name": served.name,
        "platform": "onnxruntime_onnx",
        "backend": "onnxruntime",
        "max_batch_size": most,
        "version_policy": {"specific": {"versions": [served.version]}},
        "input": [_tensor(spec, bool(most)) for spec in engine.inputs],
        "output": [_tensor(spec, bool(most)) for spec in engine.outputs],
        "instance_group": [{"name": served.name, "count": batcher.instances, "kind": kind}],
        "default_model_filename": "model.onnx",
    }
    if most:
        document["dynamic_batching"] = {"max_queue_delay_microseconds": 0}
    return msgspec.json.encode(document)


def _tensor(spec: TensorSpec, batched: bool) -> dict[str, Any]:
    sizes = spec.shape[1:] if batched else spec.shape
    datatype = "STRING" if spec.dtype == "string" else DATATYPE_OF[spec.dtype]
    return {
        "name": spec.name,
        "data_type": f"TYPE_{datatype}",
        "dims": [size if isinstance(size, int) else -1 for size in sizes],
    }


def statistics(models: Iterable[Served], families: Iterable[Family]) -> bytes:
    """What each version has done, by the metrics of all workers, as Triton counts it.

    Durations are sums over requests: those who shared a run have each the time of the run. `compute_input` is the
    reading and the making of arrays, `compute_output` the writing. In `batch_stats` a run counts once; `batch_size` are
    its rows. `last_inference` is in milliseconds of Unix time, when an answer was last written.
    """
    known = {family.name: family for family in families}
    return msgspec.json.encode({"model_stats": [_statistics(served, known) for served in models]})


def _statistics(served: Served, known: Mapping[str, Family]) -> dict[str, Any]:
    labels = {"model": served.name, "version": str(served.version)}
    requests = known["onnxpress_requests_total"]
    answered, failed, refused, rejected = (
        int(requests.get({**labels, "outcome": outcome})) for outcome in ("answered", "failed", "refused", "rejected")
    )
    phases = known["onnxpress_request_phase_seconds"]
    queue, decode, run, encode = (_timed(phases, {**labels, "phase": phase}) for phase in PHASES)
    failed_seconds = known["onnxpress_failed_request_seconds_total"].get(labels)
    nothing = {"count": 0, "ns": 0}
    return {
        "name": served.name,
        "version": str(served.version),
        "last_inference": int(known["onnxpress_last_answer_seconds"].get(labels) * 1000),
        "inference_count": answered,
        "execution_count": int(known["onnxpress_runs_total"].get(labels)),
        "inference_stats": {
            "success": _timed(known["onnxpress_request_seconds"], labels),
            "fail": {"count": failed + refused + rejected, "ns": int(failed_seconds * 1e9)},
            "queue": queue,
            "compute_input": decode,
            "compute_infer": run,
            "compute_output": encode,
            "cache_hit": nothing,
            "cache_miss": nothing,
        },
        "batch_stats": _sizes(known["onnxpress_runs_of_size"], labels),
    }


def _timed(histogram: Family, labels: Mapping[str, str]) -> dict[str, int]:
    return {"count": int(histogram.get(labels, "_count")), "ns": int(histogram.get(labels, "_sum") * 1e9)}


def _sizes(family: Family, labels: Mapping[str, str]) -> list[dict[str, Any]]:
    """The runs over each number of rows."""
    start = f"{sample(family.name, labels)[:-1]},"
    sizes = sorted(int(name.split('"')[-2]) for name in family.samples if name.startswith(start))
    found = []
    for rows in sizes:
        of_size = {**labels, "rows": str(rows)}
        runs = int(family.get(of_size))
        spent = [int(family.get({**of_size, "step": step}, "_seconds") * 1e9) for step in STEPS_OF_A_RUN]
        steps = {f"compute_{step}": {"count": runs, "ns": ns} for step, ns in zip(STEPS_OF_A_RUN, spent, strict=True)}
        found.append({"batch_size": rows, **steps})
    return found


class _Change(msgspec.Struct):
    parameters: dict[str, Any] | None = None


def check_change(verb: str, body: bytes) -> None:
    """Refuse the body of a `load` or `unload` that asks for more than that. Raises Refusal."""
    try:
        asked = msgspec.json.decode(body, type=_Change) if body else _Change()
    except NOT_JSON as error:
        raise Refusal(400, f"the body is no {verb} request: {error}") from None
    (parameters.check_load if verb == "load" else parameters.check_unload)(asked.parameters)


class _Index(msgspec.Struct):
    ready: bool = False


def index(repository: Repository, body: bytes) -> bytes:
    """Every version that is served, and every one that could not be or was skipped, with the reason.

    `{"ready": true}` asks for those served only. Raises Refusal for another body.
    """
    try:
        asked = msgspec.json.decode(body, type=_Index) if body else _Index()
    except NOT_JSON as error:
        raise Refusal(400, f"the body is no question for the index: {error}") from None
    rows = [
        {"name": served.name, "version": str(served.version), "state": "READY", "reason": served.note}
        for served in repository.all()
    ]
    if not asked.ready:
        rows += [
            {"name": name, "version": str(version), "state": "UNAVAILABLE", "reason": for_callers(reason)}
            for (name, version), reason in repository.failed.items()
        ]
        for path, reason in repository.skipped.items():
            name, _, version = path.partition("/")
            skipped = {"name": name, "version": version, "state": "UNAVAILABLE", "reason": for_callers(reason)}
            rows.append({**skipped, "reason": f"skipped: {skipped['reason']}"})
    return msgspec.json.encode(rows)

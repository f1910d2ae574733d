"""Triton's extensions of V2 as its clients read them: model configuration, statistics, repository index."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from onnxpress.core.tensors import TensorSpec
from onnxpress.serving.metrics.family import Family
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
    document: dict[str, Any] = {
        "name": served.name,
        "platform": "onnxruntime_onnx",
        "backend": "onnxruntime",
        "max_batch_size": most,
        "version_policy": {"specific": {"versions": [served.version]}},
        "input": [_tensor(spec, bool(most)) for spec in engine.inputs],
        "output": [_tensor(spec, bool(most)) for spec in engine.outputs],
        "instance_group": [
            {"name": served.name, "count": 1, "kind": "KIND_CPU" if engine.provider == "cpu" else "KIND_GPU"}
        ],
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
    """What each version has done, by the metrics of all workers. Success is timed by the runs, not by the request.

    The waiting time (`queue`) and the reading and writing (`compute_input`, `compute_output`) are not measured: 0.
    """
    known = {family.name: family for family in families}
    return msgspec.json.encode({"model_stats": [_statistics(served, known) for served in models]})


def _statistics(served: Served, known: Mapping[str, Family]) -> dict[str, Any]:
    labels = {"model": served.name, "version": str(served.version)}
    requests = known["onnxpress_requests_total"]
    answered, failed, refused, rejected = (
        int(requests.get({**labels, "outcome": outcome})) for outcome in ("answered", "failed", "refused", "rejected")
    )
    runs = int(known["onnxpress_runs_total"].get(labels))
    nanoseconds = int(known["onnxpress_run_seconds_total"].get(labels) * 1e9)
    nothing = {"count": 0, "ns": 0}
    return {
        "name": served.name,
        "version": str(served.version),
        "inference_count": answered,
        "execution_count": runs,
        "inference_stats": {
            "success": {"count": answered, "ns": nanoseconds},
            "fail": {"count": failed + refused + rejected, "ns": 0},
            "queue": nothing,
            "compute_input": nothing,
            "compute_infer": {"count": runs, "ns": nanoseconds},
            "compute_output": nothing,
            "cache_hit": nothing,
            "cache_miss": nothing,
        },
        "batch_stats": [],
    }


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

"""Routes of TensorFlow Serving's REST API, and of KServe's V1, which is the same with a list of models."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from onnxpress.serving.batching.reading import Read
from onnxpress.serving.models.served import Served
from onnxpress.serving.protocol import tensorflow_serving
from onnxpress.serving.protocol.refusal import Refusal
from onnxpress.serving.routes.call import Call
from onnxpress.serving.service import Service


def route(service: Service, call: Call, parts: Sequence[str]) -> None:
    """Answer `/v1/models` and `/v1/models/...`; raises Refusal."""
    if parts == ["models"]:
        call.allow(b"GET")
        call.answer(msgspec.json.encode({"models": list(service.repository.models)}))
        return
    if len(parts) < 2 or parts[0] != "models":
        raise call.nothing_here("; TensorFlow Serving's paths begin with /v1/models")
    *before, last = parts[1:]
    last, verb = _verb(call, last, service.repository.models if not before else ())
    parts, version = [*before, last], None
    if len(parts) >= 3 and parts[1] in ("versions", "labels"):
        parts, version = [parts[0], *parts[3:]], parts[2]
    if not service.repository.ready and parts[0] not in service.repository.models:
        raise Refusal(503, "the models are still being loaded")
    match parts, verb:
        case [name], "predict":
            call.allow(b"POST")
            served = service.repository.find(name, version)
            _submit(served, call, tensorflow_serving.read)
        case [name], "":
            call.allow(b"GET")
            found = service.repository.find(name, version)
            ready = not found.engine.down and not service.leaving
            call.answer(tensorflow_serving.status(name, service.states(found, version is None), ready))
        case [name, "metadata"], "":
            call.allow(b"GET")
            found = service.repository.find(name, version)
            call.answer(tensorflow_serving.metadata(name, found.version, found.engine))
        case [name], ("classify" | "regress"):
            from onnxpress.serving.protocol import tensorflow_examples

            call.allow(b"POST")
            served = service.repository.find(name, version)
            read = tensorflow_examples.read_classify if verb == "classify" else tensorflow_examples.read_regress
            _submit(served, call, read)
        case _:
            raise call.nothing_here()


def _verb(call: Call, last: str, names: Collection[str]) -> tuple[str, str]:
    """What stands before and behind the colon of a verb. A model's name may have a colon too."""
    if last in names and call.method in (b"GET", b"HEAD"):
        return last, ""
    name, _, verb = last.rpartition(":")
    if name in names:
        return name, verb
    name, _, verb = last.partition(":")
    return name, verb


def _submit(served: Served, call: Call, read: Read) -> None:
    served.batcher.submit(call.body, call.exchange, read=read, seconds=call.seconds, trace=call.trace, slow=True)

"""Routes of the Open Inference Protocol V2 and of Triton's extensions of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from onnxpress.serving.metrics.source import MetricsSource
from onnxpress.serving.models.served import Served
from onnxpress.serving.protocol.refusal import Refusal
from onnxpress.serving.routes import metadata, triton
from onnxpress.serving.routes.call import Call
from onnxpress.serving.service import Service


def route(service: Service, metrics: MetricsSource, call: Call, parts: Sequence[str]) -> None:
    """Answer `/v2/...`; raises Refusal."""
    match parts:
        case []:
            call.allow(b"GET")
            call.answer(metadata.server())
        case ["health", "live"]:
            call.allow(b"GET")
            call.answer(_said("live", True))
        case ["health", "ready"]:
            call.allow(b"GET")
            ready, faults = service.ready, service.faults
            said = {"ready": ready, **({"reason": "; ".join(faults)} if faults else {})}
            call.answer(msgspec.json.encode(said), 200 if ready else 503)
        case ["systemsharedmemory" | "cudasharedmemory", *_]:
            raise Refusal(400, "there is no shared memory here; send tensors in the body")
        case ["models", "stats"]:
            call.allow(b"GET")
            _statistics(metrics, call, service.repository.all())
        case ["models", name, *rest]:
            _model(service, metrics, call, name, rest)
        case ["repository", "index"]:
            call.allow(b"GET", b"POST")
            call.answer(triton.index(service.repository, call.body))
        case ["repository", "models", name, ("load" | "unload") as verb]:
            call.allow(b"POST")
            _change(service, call, name, verb)
        case _:
            raise call.nothing_here("; the protocol's root is /v2")


def _model(service: Service, metrics: MetricsSource, call: Call, name: str, rest: Sequence[str]) -> None:
    version = None
    if len(rest) >= 2 and rest[0] == "versions":
        version, rest = rest[1], rest[2:]
    if not service.repository.ready and name not in service.repository.models:
        raise Refusal(503, "the models are still being loaded")
    match rest:
        case []:
            call.allow(b"GET")
            served = service.repository.find(name, version)
            call.answer(metadata.model(name, sorted(service.repository.models[name]), served.engine))
        case ["ready"]:
            call.allow(b"GET")
            ready = not service.repository.find(name, version).engine.down and not service.leaving
            call.answer(_said("ready", ready), 200 if ready else 503)
        case ["config"]:
            call.allow(b"GET")
            call.answer(triton.config(service.repository.find(name, version)))
        case ["stats"]:
            call.allow(b"GET")
            found = service.repository.find(name, version)
            every = service.repository.models[name].values() if version is None else [found]
            _statistics(metrics, call, every)
        case ["infer"]:
            call.allow(b"POST")
            service.repository.find(name, version).batcher.submit(
                call.body, call.exchange, read=call.read, seconds=call.seconds, trace=call.trace
            )
        case _:
            raise call.nothing_here()


def _statistics(metrics: MetricsSource, call: Call, served: Iterable[Served]) -> None:
    every = list(served)
    metrics.tell(lambda families: call.answer(triton.statistics(every, families)), call.exchange)


def _change(service: Service, call: Call, name: str, verb: str) -> None:
    control = service.control
    if control is None:
        raise Refusal(403, "models cannot be changed from outside; the server was started without --model-control")
    if not service.repository.ready:
        raise Refusal(503, "the models are still being loaded")

    async def change() -> bytes:
        try:
            triton.check_change(verb, call.body)
            await (control.load(name) if verb == "load" else control.unload(name))
        except Refusal as error:  # with Triton's first words, which NVIDIA's example clients look for
            raise Refusal(error.status, f"failed to {verb} {name!r}: {error.message}") from None
        return b"{}"

    call.later(verb, change())


def _said(name: str, value: bool) -> bytes:
    return msgspec.json.encode({name: value})

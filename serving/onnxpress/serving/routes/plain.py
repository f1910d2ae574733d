"""Routes for services that had their own: `GET /health`, `POST /predict`, and `POST /models/NAME` with rows."""

from __future__ import annotations

from collections.abc import Sequence

from onnxpress.serving.protocol import plain_rows
from onnxpress.serving.protocol.refusal import Refusal
from onnxpress.serving.routes.call import Call
from onnxpress.serving.service import Service


def route(service: Service, call: Call, parts: Sequence[str]) -> None:
    """Answer `/health`, `/predict` and `/models/NAME`; raises Refusal."""
    match parts:
        case ["health"]:
            health(service, call)
        case ["predict"]:
            _predict(service, call, only_model(service))
        case ["predict" | "models", name]:
            _predict(service, call, name)
        case ["models", name, "versions", version]:
            _predict(service, call, name, version)
        case _:
            raise call.nothing_here("; rows go to /predict or /models/NAME")


def health(service: Service, call: Call) -> None:
    """Answer whether requests are welcome; raises Refusal."""
    call.allow(b"GET")
    ready = service.ready
    call.answer(b'{"status":"%b"}' % (b"ok" if ready else b"not ready"), 200 if ready else 503)


def only_model(service: Service) -> str:
    """The model that is meant where none is named. Raises Refusal where there are several, or none."""
    names = list(service.repository.models)
    if len(names) != 1:
        known = ", ".join(sorted(names)[:10])
        raise Refusal(400 if names else 503, f"name the model, /models/NAME; there are: {known or 'none yet'}")
    return names[0]


def _predict(service: Service, call: Call, name: str, version: str | None = None) -> None:
    call.allow(b"POST")
    served = service.repository.find(name, version)
    served.batcher.submit(
        call.body, call.exchange, read=plain_rows.read, seconds=call.seconds, trace=call.trace, slow=True
    )

"""Calls of gRPC: the V2 protocol with Triton's extensions, and the standard health check.

`ModelInfer` goes to the batcher. Every other call is what the route of the same name answers, as a message instead of
JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from onnxpress.serving.exchange import Exchange, ExchangeWrapper, Headers
from onnxpress.serving.metrics.source import MetricsSource
from onnxpress.serving.protocol import grpc_messages as messages
from onnxpress.serving.protocol.infer_messages import InferMessages, parameters_of
from onnxpress.serving.protocol.protobuf import Reading, Writing, decoded, encoded
from onnxpress.serving.protocol.refusal import Refusal
from onnxpress.serving.routes import v2
from onnxpress.serving.routes.call import Call
from onnxpress.serving.service import Service

_V2: Final = b"/inference.GRPCInferenceService/"
_HEALTH: Final = b"/grpc.health.v1.Health/Check"
_INFER: Final = _V2 + b"ModelInfer"
_NOT_READY: Final = (404, 503)

Asked = tuple[bytes, list[str], dict[str, Any] | None]
"""method, the parts of the path below /v2, and what the body is as JSON"""


def _of(*path: str) -> Callable[[Mapping[str, Any]], Asked]:
    return lambda asked: (b"GET", list(path), None)


def _of_model(*path: str) -> Callable[[Mapping[str, Any]], Asked]:
    def found(asked: Mapping[str, Any]) -> Asked:
        version = ["versions", asked["version"]] if asked.get("version") else []
        return b"GET", ["models", asked.get("name", ""), *version, *path], None

    return found


def _statistics(asked: Mapping[str, Any]) -> Asked:
    return _of_model("stats")(asked) if asked.get("name") else (b"GET", ["models", "stats"], None)


def _change(verb: str) -> Callable[[Mapping[str, Any]], Asked]:
    def found(asked: Mapping[str, Any]) -> Asked:
        path = ["repository", "models", asked.get("model_name", ""), verb]
        return b"POST", path, {"parameters": parameters_of(asked.get("parameters"))}

    return found


def _index(asked: Mapping[str, Any]) -> Asked:
    return b"POST", ["repository", "index"], {"ready": asked.get("ready", False)}


_CALLS: Final[dict[bytes, tuple[Reading, Callable[[Mapping[str, Any]], Asked], Writing]]] = {
    _V2 + b"ServerLive": ({}, _of("health", "live"), messages.LIVE),
    _V2 + b"ServerReady": ({}, _of("health", "ready"), messages.READY),
    _V2 + b"ModelReady": (messages.OF_MODEL, _of_model("ready"), messages.READY),
    _V2 + b"ServerMetadata": ({}, _of(), messages.SERVER),
    _V2 + b"ModelMetadata": (messages.OF_MODEL, _of_model(), messages.MODEL),
    _V2 + b"ModelConfig": (messages.OF_MODEL, _of_model("config"), messages.CONFIG),
    _V2 + b"ModelStatistics": (messages.OF_MODEL, _statistics, messages.STATISTICS),
    _V2 + b"RepositoryIndex": (messages.INDEX_REQUEST, _index, messages.INDEX),
    _V2 + b"RepositoryModelLoad": (messages.CHANGE, _change("load"), {}),
    _V2 + b"RepositoryModelUnload": (messages.CHANGE, _change("unload"), {}),
}
CALLS: Final = frozenset({*_CALLS, _INFER, _HEALTH})
"""the paths of all; each has one message in and one out"""


def unknown(path: bytes) -> str:
    """What is said of a call that is not here."""
    return f"there is no call {path[:200].decode('latin-1')}; docs/grpc.md lists those that there are"


class Calls:
    """Answers them. `metrics`: where the statistics come from."""

    def __init__(self, service: Service, metrics: MetricsSource) -> None:
        self._service, self._metrics = service, metrics
        self._messages = InferMessages()

    def route(self, path: bytes, body: bytes, exchange: Exchange, alone: bool, seconds: float | None) -> None:
        """Answer a call, or refuse it. `body` is its message; `alone` and `seconds`: see `Batcher.submit`."""
        try:
            if path == _INFER:
                self._infer(body, exchange, alone, seconds)
            elif path == _HEALTH:
                self._check(body, exchange)
            elif path in _CALLS:
                self._as_route(path, body, exchange)
            else:
                raise Refusal(501, unknown(path))
        except Refusal as refusal:
            exchange.respond(refusal.status, refusal.body(), refusal.headers)

    def _infer(self, body: bytes, exchange: Exchange, alone: bool, seconds: float | None) -> None:
        message = self._messages.read(body)
        repository, opening = self._service.repository, message.opening
        if not repository.ready and opening.model not in repository.models:
            raise Refusal(503, "the models are still being loaded")
        batcher = repository.find(opening.model, opening.version).batcher
        batcher.submit(body, exchange, alone, message.read, seconds)

    def _check(self, body: bytes, exchange: Exchange) -> None:
        name = decoded(messages.HEALTH_REQUEST, body, "HealthCheckRequest").get("service", "")
        ready = self._service.ready
        if name not in ("", "inference.GRPCInferenceService", "grpc.health.v1.Health"):
            if name not in self._service.repository.models:
                raise Refusal(404, "there is no service or model of this name")
            ready = not self._service.repository.find(name, None).engine.down and not self._service.leaving
        exchange.respond(200, encoded(messages.HEALTH, {"status": "SERVING" if ready else "NOT_SERVING"}))

    def _as_route(self, path: bytes, body: bytes, exchange: Exchange) -> None:
        reading, asked_of, writing = _CALLS[path]
        method, parts, document = asked_of(decoded(reading, body, path.rpartition(b"/")[2].decode() + "Request"))
        text = b"" if document is None else msgspec.json.encode(document)
        call = Call(method, path.decode("latin-1"), text, _Message(exchange, writing, path.endswith(b"Ready")))
        try:
            v2.route(self._service, self._metrics, call, parts)
        except Refusal as refusal:
            call.answer(refusal.body(), refusal.status, refusal.headers)


class _Message(ExchangeWrapper):
    """An exchange that sends a route's JSON as a message. `asks_ready`: then not to be there is an answer too."""

    def __init__(self, exchange: Exchange, writing: Writing, asks_ready: bool) -> None:
        super().__init__(exchange)
        self._writing, self._asks_ready = writing, asks_ready

    def respond(self, status: int, body: bytes, headers: Headers = ()) -> None:
        if status == 200:
            said = msgspec.json.decode(body)
            if self._writing is messages.CONFIG:
                said = {"config": said}
            self._exchange.respond(200, encoded(self._writing, {"models": said} if isinstance(said, list) else said))
        elif self._asks_ready and status in _NOT_READY:
            self._exchange.respond(200, b"")
        else:
            self._exchange.respond(status, body, headers)

"""Calls of gRPC: the V2 protocol with Triton's extensions, and the way to those of other services.

`ModelInfer` is in `infer_calls`. Every other call of V2 is what the route of the same name answers, as a message
instead of JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from onnxpress.serving.exchange import Exchange, ExchangeWrapper, Headers
from onnxpress.serving.metrics.source import MetricsSource
from onnxpress.serving.protocol import grpc_messages as messages
from onnxpress.serving.protocol.infer_messages import parameters_of
from onnxpress.serving.protocol.protobuf import Reading, Writing, decoded, encoded
from onnxpress.serving.protocol.refusal import Refusal
from onnxpress.serving.protocol.stream_messages import answer_of
from onnxpress.serving.routes import call_paths, v2
from onnxpress.serving.routes.call import Call
from onnxpress.serving.service import Service
from onnxpress.serving.timing import Trace

if TYPE_CHECKING:
    from onnxpress.serving.routes.health import Health
    from onnxpress.serving.routes.infer_calls import InferCalls
    from onnxpress.serving.routes.reflection import Reflection
    from onnxpress.serving.routes.serving_calls import ServingCalls

_V2: Final = f"/{call_paths.V2}/".encode()
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
        parameters = parameters_of(asked.get("parameters")) or {}
        # Only what is refused anyway has bytes.
        told = {
            name: bytes(value[:0]) if isinstance(value, memoryview) else value for name, value in parameters.items()
        }
        return b"POST", path, {"parameters": told}

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


class Calls:
    """Answers them, but for ModelInfer. `metrics`: where the statistics come from."""

    def __init__(self, service: Service, metrics: MetricsSource, infer: InferCalls) -> None:
        self._service, self._metrics, self._infer = service, metrics, infer
        self._health: Health | None = None
        self._serving: ServingCalls | None = None
        self._reflection: Reflection | None = None

    def route(
        self,
        path: bytes,
        body: bytes,
        exchange: Exchange,
        alone: bool,
        seconds: float | None,
        trace: Trace | None,
    ) -> None:
        """Answer a call, or refuse it. `body` is its message; `alone`, `seconds`, `trace`: see `Batcher.submit`."""
        try:
            if path == call_paths.INFER_STREAM:
                self._infer.route(body, _InStream(exchange), alone, seconds, trace)
            elif path in _CALLS:
                self._as_route(path, body, exchange)
            else:
                self._other(path, body, exchange, seconds, trace)
        except Refusal as refusal:
            exchange.respond(refusal.status, refusal.body(), refusal.headers)

    def _other(self, path: bytes, body: bytes, exchange: Exchange, seconds: float | None, trace: Trace | None) -> None:
        """A call of another service, each of which is imported when it is first asked."""
        if path in (call_paths.CHECK, call_paths.LIST, call_paths.WATCH):
            if self._health is None:
                from onnxpress.serving.routes.health import Health

                self._health = Health(self._service)
            self._health.route(path, body, exchange)
        elif path in call_paths.SERVING:
            if self._serving is None:
                from onnxpress.serving.routes.serving_calls import ServingCalls

                self._serving = ServingCalls(self._service)
            self._serving.route(path, body, exchange, seconds, trace)
        elif path in call_paths.REFLECTED:
            if self._reflection is None:
                from onnxpress.serving.routes.reflection import Reflection

                self._reflection = Reflection()
            exchange.respond(200, self._reflection.answer(body))
        else:
            raise Refusal(501, call_paths.unknown(path))

    def _as_route(self, path: bytes, body: bytes, exchange: Exchange) -> None:
        reading, asked_of, writing = _CALLS[path]
        method, parts, document = asked_of(decoded(reading, body, path.rpartition(b"/")[2].decode() + "Request"))
        text = b"" if document is None else msgspec.json.encode(document)
        call = Call(method, path.decode("latin-1"), text, _Message(exchange, writing, path.endswith(b"Ready")))
        try:
            v2.route(self._service, self._metrics, call, parts)
        except Refusal as refusal:
            call.answer(refusal.body(), refusal.status, refusal.headers)


class _InStream(ExchangeWrapper):
    """An exchange of one request of a stream. An error is said as elsewhere, and the transport puts it into place."""

    def respond(self, status: int, body: bytes, headers: Headers = ()) -> None:
        self._exchange.respond(status, answer_of(body) if status == 200 else body, headers)


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

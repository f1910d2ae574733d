"""A request's way: by its path to the model that answers it, or to the route that does.

Every request of every transport comes through `Router.submit` or `Router.submit_with`. The usual one needs one look-up:
the plain spelling of every model's path for inference is indexed. Whatever else is asked goes through `routes.root`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from onnxpress.serving.batching.reading import Read
from onnxpress.serving.exchange import GRPC, Exchange
from onnxpress.serving.models.served import Served
from onnxpress.serving.protocol.refusal import Refusal
from onnxpress.serving.protocol.timeouts import deadline_of, grpc_timeout_of
from onnxpress.serving.service import Service
from onnxpress.serving.timing import Trace, trace_of

if TYPE_CHECKING:
    from onnxpress.serving.metrics.source import MetricsSource
    from onnxpress.serving.routes.chosen import Route
    from onnxpress.serving.routes.grpc import Calls
    from onnxpress.serving.routes.infer_calls import InferCalls
    from onnxpress.serving.routes.root import Root

_JSON_LENGTH = b"inference-header-content-length"
_DEADLINE = b"x-envoy-expected-rq-timeout-ms"
_GRPC_TIMEOUT = b"grpc-timeout"
_TRACEPARENT = b"traceparent"
_ACCEPT = b"accept"


class Router:
    """The handler that all others stand before. `metrics` are this process's own where nobody else has them.

    `more` gives, when it is first needed, what a path begins with → the route that answers it, besides those that are
    always there. `traces` gives what is timed for the traceparent of a request, or None.
    """

    def __init__(
        self,
        service: Service,
        metrics: MetricsSource | None = None,
        more: Callable[[], Mapping[str, Route]] = dict,
        traces: Callable[[bytes], Trace | None] = trace_of,
    ) -> None:
        self.headers_read = frozenset({_JSON_LENGTH, _DEADLINE, _GRPC_TIMEOUT, _TRACEPARENT})
        self.traffic = service.traffic
        self._service = service
        self._metrics, self._more, self._traces = metrics, more, traces
        self._root: Root | None = None
        self._calls: Calls | None = None
        self._infer_calls: InferCalls | None = None
        self._infer: dict[bytes, Served] = {}
        service.repository.on_change(self._forget)

    def submit(self, method: bytes, target: bytes, body: bytes, exchange: Exchange, alone: bool = False) -> None:
        """See Handler."""
        served = self._infer.get(target)
        if served is not None and method == b"POST":
            served.batcher.submit(body, exchange, alone)
        elif method == GRPC:
            self._call(target, body, exchange, alone, None, None)
        else:
            self._route(method, target, body, exchange, None, None, None, b"")

    def submit_with(
        self, headers: Mapping[bytes, bytes], method: bytes, target: bytes, body: bytes, exchange: Exchange
    ) -> None:
        """See Handler."""
        try:
            read = _binary(headers[_JSON_LENGTH]) if _JSON_LENGTH in headers else None
            seconds = deadline_of(headers[_DEADLINE]) if _DEADLINE in headers else None
            if method == GRPC:
                seconds = grpc_timeout_of(headers[_GRPC_TIMEOUT]) if _GRPC_TIMEOUT in headers else None
        except Refusal as refusal:
            exchange.respond(refusal.status, refusal.body(), refusal.headers)
            return
        trace = self._traces(headers[_TRACEPARENT]) if _TRACEPARENT in headers else None
        served = self._infer.get(target)
        if served is not None and method == b"POST":
            served.batcher.submit(body, exchange, read=read, seconds=seconds, trace=trace)
        elif method == GRPC:
            self._call(target, body, exchange, False, seconds, trace)
        else:
            self._route(method, target, body, exchange, read, seconds, trace, headers.get(_ACCEPT, b""))

    def _route(
        self,
        method: bytes,
        target: bytes,
        body: bytes,
        exchange: Exchange,
        read: Read | None,
        seconds: float | None,
        trace: Trace | None,
        accept: bytes,
    ) -> None:
        if not self._infer and self._service.repository.ready:
            self._learn()
            served = self._infer.get(target)
            if served is not None and method == b"POST":
                served.batcher.submit(body, exchange, read=read, seconds=seconds, trace=trace)
                return
        if self._root is None:
            from onnxpress.serving.routes.root import Root  # a start need not wait for what few requests ask

            self._root = Root(self._service, self._metrics, self._more())
        self._root.route(method, target, body, exchange, read, seconds, trace, accept)

    def _call(
        self, path: bytes, body: bytes, exchange: Exchange, alone: bool, seconds: float | None, trace: Trace | None
    ) -> None:
        """A call of gRPC."""
        infer = self._infer_calls
        if infer is None:
            from onnxpress.serving.routes.infer_calls import InferCalls

            infer = self._infer_calls = InferCalls(self._service.repository)
        if path == infer.path:
            infer.route(body, exchange, alone, seconds, trace)
            return
        if self._calls is None:
            from onnxpress.serving.metrics.source import OwnMetrics
            from onnxpress.serving.routes.grpc import Calls

            metrics = OwnMetrics(self._service) if self._metrics is None else self._metrics
            self._calls = Calls(self._service, metrics, infer)
        self._calls.route(path, body, exchange, alone, seconds, trace)

    def _learn(self) -> None:
        """Index the plain spelling of every path for inference."""
        repository = self._service.repository
        for name, versions in repository.models.items():
            path = f"/v2/models/{name}".encode()
            self._infer[path + b"/infer"] = versions[max(versions)]
            for version, served in versions.items():
                self._infer[b"%b/versions/%d/infer" % (path, version)] = served
            for label, version in repository.labels.get(name, {}).items():
                if version in versions:
                    self._infer[b"%b/versions/%b/infer" % (path, label.encode())] = versions[version]

    def _forget(self) -> None:
        """Drop the index: other models are served now."""
        self._infer = {}


def _binary(json_length: bytes) -> Read:
    """How the body of a request with binary tensors is read, by its Inference-Header-Content-Length."""
    if not json_length.isdigit() or len(json_length) > 18:
        raise Refusal(400, "Inference-Header-Content-Length must be the number of bytes that are JSON")
    length = int(json_length)
    return lambda reader, body: reader.read_binary(body, length)

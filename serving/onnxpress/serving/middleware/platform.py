"""The paths that SageMaker or Vertex AI ask in a container: how the server is, its one model, and how much it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from onnxpress.serving.exchange import Exchange, Handler
from onnxpress.serving.platforms import Paths
from onnxpress.serving.protocol import media
from onnxpress.serving.protocol.refusal import Refusal
from onnxpress.serving.routes import plain
from onnxpress.serving.routes.call import Call
from onnxpress.serving.service import Service
from onnxpress.serving.timing import Trace, trace_of

_CONTENT_TYPE, _ACCEPT, _TRACEPARENT = b"content-type", b"accept", b"traceparent"
_EXECUTION = b'{"MaxConcurrentTransforms":%d,"BatchStrategy":"MULTI_RECORD","MaxPayloadInMB":%d}'
_TRANSFORMS, _PAYLOAD = 8, 12
"""requests at once and megabytes of each; SageMaker takes up to 100 MB of all"""


class PlatformMiddleware:
    """Before the router: answers the platform's paths, and leaves all others to it."""

    def __init__(
        self,
        handler: Handler,
        service: Service,
        paths: Paths,
        max_body: int,
        traces: Callable[[bytes], Trace | None] = trace_of,
    ) -> None:
        """`max_body`: bytes that a request may have; `traces`: see Router."""
        self._handler, self._service, self._traces = handler, service, traces
        self._health, self._predict = paths.health.encode(), paths.predict.encode()
        self._parameters, self._usual_accept = paths.parameters.encode(), paths.accept
        self._execution = _EXECUTION % (_TRANSFORMS, max(1, min(_PAYLOAD, max_body >> 20)))
        self.headers_read = handler.headers_read | {_CONTENT_TYPE, _ACCEPT}
        self.traffic = handler.traffic

    def submit(self, method: bytes, target: bytes, body: bytes, exchange: Exchange, alone: bool = False) -> None:
        """As the handler's."""
        if not self._answered({}, method, target, body, exchange):
            self._handler.submit(method, target, body, exchange, alone)

    def submit_with(
        self, headers: Mapping[bytes, bytes], method: bytes, target: bytes, body: bytes, exchange: Exchange
    ) -> None:
        """As the handler's."""
        if not self._answered(headers, method, target, body, exchange):
            self._handler.submit_with(headers, method, target, body, exchange)

    def _answered(
        self, headers: Mapping[bytes, bytes], method: bytes, target: bytes, body: bytes, exchange: Exchange
    ) -> bool:
        path = target.partition(b"?")[0]
        if path not in (self._health, self._predict, self._parameters) or not path:
            return False
        call = Call(method, path.decode("utf-8", "replace"), body, exchange)
        try:
            if path == self._health:
                plain.health(self._service, call)
            elif path == self._parameters:
                call.allow(b"GET")
                call.answer(self._execution)
            else:
                call.allow(b"POST")
                content_type, accept = (headers.get(name, b"").decode("latin-1") for name in (_CONTENT_TYPE, _ACCEPT))
                read = media.reading(content_type, self._usual_accept if accept in ("", "*/*") else accept)
                served = self._service.repository.find(plain.only_model(self._service), None)
                trace = self._traces(headers[_TRACEPARENT]) if _TRACEPARENT in headers else None
                served.batcher.submit(body, exchange, read=read, trace=trace, slow=True)
        except Refusal as refusal:
            exchange.respond(refusal.status, refusal.body(), refusal.headers)
        return True

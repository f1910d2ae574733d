"""Every path but the plain ones of inference, which the router knows itself: to the protocol that it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from onnxpress.serving.batching.reading import Read
from onnxpress.serving.exchange import Exchange
from onnxpress.serving.metrics import formats
from onnxpress.serving.metrics.source import MetricsSource, OwnMetrics
from onnxpress.serving.protocol.refusal import Refusal
from onnxpress.serving.routes import v1, v2
from onnxpress.serving.routes.call import Call
from onnxpress.serving.routes.chosen import Route
from onnxpress.serving.service import Service
from onnxpress.serving.timing import Trace


class Root:
    """What answers there. `metrics` are this process's own where nobody else has them.

    `more`: what a path begins with → the route that answers it, besides those that are always there.
    """

    def __init__(
        self, service: Service, metrics: MetricsSource | None = None, more: Mapping[str, Route] | None = None
    ) -> None:
        self._service, self._more = service, dict(more or {})
        self._metrics: MetricsSource = OwnMetrics(service) if metrics is None else metrics

    def route(
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
        """Answer, or refuse. `read`, `seconds`, `trace`: see `Call`; `accept`: in which form metrics are wanted."""
        path = unquote_to_bytes(_origin_form(target).partition(b"?")[0]).decode("utf-8", "replace")
        call = Call(method, path, body, exchange, read, seconds, trace)
        try:
            match path.strip("/").split("/"):
                case ["v2", *rest]:
                    v2.route(self._service, self._metrics, call, rest)
                case ["v1", *rest]:
                    v1.route(self._service, call, rest)
                case ["metrics"]:
                    call.allow(b"GET")
                    form = formats.chosen(accept)
                    headers = ((b"content-type", form.content_type),)
                    self._metrics.tell(lambda families: call.answer(form.write(families), headers=headers), exchange)
                case ["healthz"]:
                    v2.route(self._service, self._metrics, call, ["health", "live"])
                case ["readyz"]:
                    v2.route(self._service, self._metrics, call, ["health", "ready"])
                case [first, *rest] if first in self._more:
                    self._more[first](self._service, call, [first, *rest])
                case _:
                    raise call.nothing_here("; the protocol's root is /v2")
        except Refusal as refusal:
            exchange.respond(refusal.status, refusal.body(), refusal.headers)


def _origin_form(target: bytes) -> bytes:
    """`/v2` of `http://host/v2`, the form that clients send to proxies and that servers must take (RFC 9112, 3.2.2)."""
    if target[:7].lower() == b"http://":
        return b"/" + target[7:].partition(b"/")[2]
    return target

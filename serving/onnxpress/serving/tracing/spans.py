"""Spans of traced requests, as OpenTelemetry has them, and their way to a collector over HTTP.

A request is a span of the server's, with a span each for receiving, waiting, running and sending in it. A run of the
model is a span of its own, linked with the requests that shared it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from onnxpress.core.optional import missing
from onnxpress.serving.exchange import GRPC
from onnxpress.serving.timing import RunTimes
from onnxpress.serving.tracing.tracer import SAMPLED, Traced

_MOST_RUNS = 4096
"""that wait for those who shared them"""
_SERVER_ERROR = 500


class Spans:
    """Makes spans and sends them to `endpoint`, or where OTEL_EXPORTER_OTLP_ENDPOINT says. For one thread.

    Raises MissingExtra where OpenTelemetry is not installed.
    """

    def __init__(self, endpoint: str | None) -> None:
        try:
            from opentelemetry import trace
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
            from opentelemetry.sdk.trace import ReadableSpan
            from opentelemetry.sdk.trace.export import SpanExportResult
            from opentelemetry.sdk.util.instrumentation import InstrumentationScope
        except ModuleNotFoundError as error:
            if error.name is not None and error.name.partition(".")[0] == "opentelemetry":
                raise missing("opentelemetry", "--trace") from None
            raise
        import logging
        from importlib.metadata import version

        # It would write to stderr by itself, and wait for a reader; what goes wrong is told by `Exporting`.
        logger = logging.getLogger("opentelemetry")
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
        told = {SERVICE_VERSION: version("onnxpress")}
        if not os.environ.get("OTEL_SERVICE_NAME"):
            told[SERVICE_NAME] = "onnxpress"
        self._trace = trace
        self._resource = Resource.create({**told, **_named_by_environment(SERVICE_NAME)})
        self._scope = InstrumentationScope("onnxpress", version("onnxpress"))
        self._span: Callable[..., Any] = ReadableSpan
        self._exporter = OTLPSpanExporter(endpoint=endpoint)
        self._good = SpanExportResult.SUCCESS
        self._shared: dict[RunTimes, tuple[Any, list[Any]]] = {}
        """runs → their own span's context, and the contexts of the requests that shared them, until all are here"""

    def send(self, requests: Sequence[Traced]) -> None:
        """Send their spans. Raises what goes wrong; RuntimeError where the collector does not take them."""
        # What is timed is timed by the clock that only runs on; the time of day is for whoever reads it.
        shift = time.time_ns() - time.perf_counter_ns()
        spans = [span for traced in requests for span in self._of(traced, shift)]
        if self._exporter.export(spans) is not self._good:
            raise RuntimeError("the collector cannot be reached, or does not take them")

    def _of(self, traced: Traced, shift: int) -> Iterator[Any]:
        trace, run = traced.trace, traced.trace.run
        method, path = traced.asked[0].decode("latin-1"), traced.asked[1].partition(b"?")[0].decode("latin-1")
        attributes: dict[str, Any] = {"url.path": path, "http.response.status_code": traced.answered}
        if traced.asked[0] == GRPC:
            attributes = {"rpc.system": "grpc", "rpc.method": path.lstrip("/")}
            name = attributes["rpc.method"]
        else:
            attributes["http.request.method"] = method
            name = method if run is None else f"{method} {path}"
        if run is not None:
            attributes |= _model(run)
        here = self._context(trace.id, traced.span, traced.state)
        parent = self._context(trace.id, traced.parent, traced.state, remote=True) if traced.parent else None
        kind, failed = self._trace.SpanKind.SERVER, traced.answered >= _SERVER_ERROR

        def made(name: str, start: float, end: float, own: Any, above: Any, **more: Any) -> Any:
            begun = int(start * 1e9) + shift
            ended = max(begun, int(end * 1e9) + shift)
            return self._span(
                name, own, parent=above, resource=self._resource, instrumentation_scope=self._scope,
                start_time=begun, end_time=ended, **more,
            )  # fmt: skip

        status = self._trace.Status(self._trace.StatusCode.ERROR if failed else self._trace.StatusCode.UNSET)
        began = traced.began
        yield made(name, began, traced.ended, here, parent, kind=kind, attributes=attributes, status=status)
        if trace.came:
            read = trace.came + trace.reading
            yield made("receive", began, read, self._context(trace.id), here)
            if run is not None:
                yield made("wait", read, run.began, self._context(trace.id), here)
                ran = max(run.ran, run.fed)
                own = self._context(trace.id)
                batch, sharers = self._share(run, own)
                size = {"batch.size": run.requests}
                links = [self._trace.Link(batch)]
                yield made("run", run.began, ran, own, here, attributes=size, links=links)
                yield made("send", ran, traced.ended, self._context(trace.id), here)
                if len(sharers) >= run.traced:
                    del self._shared[run]
                    links = [self._trace.Link(one) for one in sharers]
                    told = {**_model(run), **size}
                    yield made("batch", run.began, max(run.written, run.ran), batch, None, attributes=told, links=links)

    def _share(self, run: RunTimes, own: Any) -> tuple[Any, list[Any]]:
        """The context of a run's own span, and of those that shared it and are known, this one among them.

        Where one of them was lost the others never make the run whole; then it is forgotten when many have come since.
        """
        if run not in self._shared:
            if len(self._shared) >= _MOST_RUNS:
                del self._shared[next(iter(self._shared))]
            self._shared[run] = self._context(os.urandom(16).hex()), []
        found = self._shared[run]
        found[1].append(own)
        return found

    def _context(self, trace: str, span: str = "", state: str = "", *, remote: bool = False) -> Any:
        api = self._trace
        return api.SpanContext(
            int(trace, 16),
            int(span or os.urandom(8).hex(), 16),
            remote,
            api.TraceFlags(SAMPLED),
            api.TraceState.from_header([state]) if state else None,
        )


def _named_by_environment(key: str) -> dict[str, str]:
    """The service's name where OTEL_RESOURCE_ATTRIBUTES has one: what is given to Resource.create goes before it."""
    for pair in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","):
        name, _, value = pair.partition("=")
        if name.strip() == key and value.strip() and not os.environ.get("OTEL_SERVICE_NAME"):
            return {key: value.strip()}
    return {}


def _model(run: RunTimes) -> dict[str, Any]:
    return {"onnxpress.model": run.model, "onnxpress.version": run.version}

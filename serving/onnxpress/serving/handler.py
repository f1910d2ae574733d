"""The handler of a server: the router, behind the middlewares that its settings ask for."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from onnxpress.serving import log
from onnxpress.serving.exchange import Handler
from onnxpress.serving.middleware.compression import CompressionMiddleware
from onnxpress.serving.router import Router
from onnxpress.serving.service import Service
from onnxpress.serving.settings import ServerSettings
from onnxpress.serving.timing import trace_of

if TYPE_CHECKING:
    from onnxpress.serving.metrics.source import MetricsSource
    from onnxpress.serving.routes.chosen import Route
    from onnxpress.serving.tracing.tracer import Tracer


def handler_of(
    service: Service, settings: ServerSettings, metrics: MetricsSource | None = None, tracer: Tracer | None = None
) -> Handler:
    """From the inside out: what is answered, packed, to those who show a token, from the pages allowed, is logged.

    With a `tracer` all of it is traced. Raises UsageError where the file of tokens cannot be used.
    """
    traces = trace_of if tracer is None else tracer.trace_of
    handler: Handler = Router(service, metrics, partial(_more_routes, settings), traces)
    if settings.answers.platform != "none":
        import os

        from onnxpress.serving import platforms
        from onnxpress.serving.middleware.platform import PlatformMiddleware

        found = platforms.paths(settings.answers.platform, os.environ)
        handler = PlatformMiddleware(handler, service, found, settings.limits.max_body, traces)
    handler = CompressionMiddleware(handler, settings.limits.max_body, settings.answers.compress_from)
    if settings.access.tokens is not None:
        from onnxpress.serving.middleware.tokens import TokenMiddleware, Tokens

        tokens = Tokens(settings.access.tokens)
        service.on_reload.append(tokens.read_again)
        service.needed.append(tokens.state)
        handler = TokenMiddleware(handler, tokens)
    if settings.access.allow_origin:
        from onnxpress.serving.middleware.cors import CorsMiddleware

        # A browser asks without its token whether it may ask.
        handler = CorsMiddleware(handler, settings.access.allow_origin)
    if settings.answers.access_log:
        from onnxpress.serving.middleware.access_log import AccessLogMiddleware

        handler = AccessLogMiddleware(handler, log.write)
    if tracer is not None:
        from onnxpress.serving.middleware.tracing import TraceMiddleware

        handler = TraceMiddleware(handler, tracer)
    return handler


def _more_routes(settings: ServerSettings) -> dict[str, Route]:
    """What is answered besides the protocols' own paths."""
    from onnxpress.serving.routes.chosen import chosen  # with the other routes: no start waits for them

    return chosen(settings)

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

if TYPE_CHECKING:
    from onnxpress.serving.metrics.source import MetricsSource
    from onnxpress.serving.routes.chosen import Route


def handler_of(service: Service, settings: ServerSettings, metrics: MetricsSource | None = None) -> Handler:
    """From the inside out: what is answered, packed, to those who show a token, from the pages allowed, is logged.

    Raises UsageError where the file of tokens cannot be used.
    """
    handler: Handler = Router(service, metrics, partial(_more_routes, settings))
    if settings.answers.platform != "none":
        import os

        from onnxpress.serving import platforms
        from onnxpress.serving.middleware.platform import PlatformMiddleware

        found = platforms.paths(settings.answers.platform, os.environ)
        handler = PlatformMiddleware(handler, service, found, settings.limits.max_body)
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
    return handler


def _more_routes(settings: ServerSettings) -> dict[str, Route]:
    """What is answered besides the protocols' own paths."""
    from onnxpress.serving.routes.chosen import chosen  # with the other routes: no start waits for them

    return chosen(settings)

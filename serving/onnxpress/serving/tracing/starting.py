"""Traces as the settings and OpenTelemetry's environment ask for them."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from onnxpress.core.errors import MissingExtra, UsageError
from onnxpress.serving import log
from onnxpress.serving.tracing.exporting import Exporting
from onnxpress.serving.tracing.sampling import sampler_of
from onnxpress.serving.tracing.spans import Spans
from onnxpress.serving.tracing.tracer import Tracer

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_HTTP = "http/protobuf"
_PATH = "/v1/traces"
_MOST, _DELAY_MILLISECONDS = 2048, 1000.0


def tracing(url: str | None, environment: Mapping[str, str]) -> tuple[Tracer, Exporting] | None:
    """The tracer, and what sends. None where nobody asks for it, or the environment asks for what is not here.

    Raises UsageError and MissingExtra for what `url` asks for.
    """
    if url is None and not _asked(environment):
        return None
    try:
        sampler = sampler_of(environment)
        spans = Spans(None if url is None else endpoint_of(url))
        most = int(_number(environment, "OTEL_BSP_MAX_QUEUE_SIZE", _MOST))
        delay = _number(environment, "OTEL_BSP_SCHEDULE_DELAY", _DELAY_MILLISECONDS) / 1000
    except (UsageError, MissingExtra) as error:
        if url is not None:
            raise
        log.say(f"{ENDPOINTS[1]} is set, but there are no traces: {error}")
        return None
    exporting = Exporting(spans.send, most=most, delay=delay)
    return Tracer(sampler, exporting.put), exporting


def endpoint_of(url: str) -> str:
    """Where a collector of this address takes traces: its own path, or the usual one. Raises UsageError.

    >>> endpoint_of("http://127.0.0.1:4318"), endpoint_of("https://collector/otlp/v1/traces")
    ('http://127.0.0.1:4318/v1/traces', 'https://collector/otlp/v1/traces')
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise UsageError(
            f"--trace {url!r} is no address of a collector", hint="such as http://127.0.0.1:4318, for OTLP over HTTP"
        )
    return url if parts.path.strip("/") else f"{url.rstrip('/')}{_PATH}"


def _asked(environment: Mapping[str, str]) -> bool:
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if environment.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp" or not any(map(environment.get, ENDPOINTS)):
        return False
    protocol = next(filter(None, map(environment.get, _PROTOCOLS)), _HTTP)
    if protocol != _HTTP:
        log.say(f"{_PROTOCOLS[1]}={protocol}: traces are sent by {_HTTP} alone, so there are none")
        return False
    return True


def _number(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name, "")
    try:
        value = float(text) if text else default
    except ValueError:
        value = 0.0
    if value < 1:
        raise UsageError(f"{name}={text} is no number of at least 1")
    return value

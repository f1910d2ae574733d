"""The whole document: the server's own routes, and those of every version that is served."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from onnxpress.serving import platforms
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.models.served import Served
from onnxpress.serving.platforms import Platform
from onnxpress.serving.routes import examples
from onnxpress.serving.routes.openapi.answers import SCHEMAS, content, ref, responses
from onnxpress.serving.routes.openapi.models import Described, Operation
from onnxpress.serving.routes.openapi.schemas import Schema
from onnxpress.serving.settings import ServerSettings

_PATHS = Iterator[tuple[str, dict[str, Operation]]]
_NOTHING: Schema = {"type": "object"}


def document(repository: Repository, models: Sequence[Served], settings: ServerSettings) -> dict[str, Any]:
    """Of these versions, which the repository served when it was asked for. Reads files of theirs; takes milliseconds.

    Labels are looked up in the repository too.
    """
    from importlib.metadata import version

    tokens, rows = settings.access.tokens is not None, settings.answers.plain_rows
    found: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "onnxpress",
            "version": version("onnxpress"),
            "description": "Models by the Open Inference Protocol V2, and by TensorFlow Serving's REST API.",
        },
        "paths": dict(_server(settings, tokens=tokens)),
        "components": {"schemas": dict(SCHEMAS)},
    }
    if tokens:
        found["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        found["security"] = [{"token": []}]
    latest = {served.name: served for served in models}  # in the order of their versions
    for served in models:
        described = Described(served, examples.of(served), rows, tokens)
        found["components"]["schemas"] |= described.schemas()
        if latest[served.name] is served:
            found["paths"] |= dict(described.usual_paths(len(latest) == 1))
        found["paths"] |= dict(described.paths())
        for label, number in repository.labels.get(served.name, {}).items():
            if number == served.version:
                found["paths"] |= dict(described.labelled_paths(label))
    return found


def _server(settings: ServerSettings, *, tokens: bool) -> _PATHS:
    ready = {"not_ready": ref("Ready")}
    yield "/v2", _get("What this server is", "server", content(ref("Server")), tokens)
    for path in ("/v2/health/live", "/healthz"):
        yield path, _get("Whether it lives", f"live{path.replace('/', '_')}", content(ref("Live")), tokens)
    for path in ("/v2/health/ready", "/readyz"):
        operation = f"ready{path.replace('/', '_')}"
        yield path, _get("Whether requests are welcome", operation, content(ref("Ready")), tokens, **ready)
    yield (
        "/v1/models",
        _get("The models, as KServe's V1 has them", "v1_models", content(ref("ModelNames")), tokens),
    )
    yield "/v2/models/stats", _get("What every model has done", "stats", content(ref("Statistics")), tokens)
    index = _get("Every version, served or not", "index", content(ref("Index")), tokens)["get"]
    asked = {"type": "object", "properties": {"ready": {"type": "boolean"}}}
    yield (
        "/v2/repository/index",
        {
            "get": index,
            "post": {
                **_post(
                    "Every version, or those served alone", "index_of", tokens, asked, ref("Index"), required=False
                ),
            },
        },
    )
    for verb in ("load", "unload"):
        change = _post(
            f"{verb.capitalize()} a model", verb, tokens, _NOTHING, _NOTHING, required=False, also=(403, 404)
        )
        named = {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}
        yield f"/v2/repository/models/{{model}}/{verb}", {"post": {**change, "parameters": [named]}}
    yield "/metrics", _get("Prometheus metrics", "metrics", content({"type": "string"}, "text/plain"), tokens)
    yield "/openapi.json", _get("This document", "openapi", content(_NOTHING), tokens)
    if settings.answers.platform != "none":
        yield from _platform(settings.answers.platform, tokens)
    if settings.answers.plain_rows:
        health = {"not_ready": ref("Health")}
        yield "/health", _get("Whether requests are welcome", "health", content(ref("Health")), tokens, **health)


def _platform(platform: Platform, tokens: bool) -> _PATHS:
    import os

    paths = platforms.paths(platform, os.environ)
    health = {"not_ready": ref("Health")}
    yield (
        paths.health,
        _get("How the server is, for the platform", "platform_health", content(ref("Health")), tokens, **health),
    )
    also = (404, 504)
    ask = _post("Ask the one model", "platform_predict", tokens, _NOTHING, {}, required=True, also=also)
    text: Schema = {"type": "string"}
    array: Schema = {"type": "string", "format": "binary"}
    for body in (ask["requestBody"], ask["responses"]["200"]):
        body["content"] = {
            **content({}),
            **content(text, "application/jsonlines"),
            **content(text, "text/csv"),
            **content(array, "application/x-npy"),
        }
    yield paths.predict, {"post": ask}
    if paths.parameters:
        told = content(_NOTHING)
        yield paths.parameters, _get("What a batch transform may send", "platform_parameters", told, tokens)


def _get(summary: str, name: str, answer: dict[str, Any], tokens: bool, **more: Any) -> dict[str, Operation]:
    return {
        "get": {
            "summary": summary,
            "operationId": name,
            "responses": responses(answer, body=False, tokens=tokens, **more),
        }
    }


def _post(
    summary: str, name: str, tokens: bool, request: Schema, answer: Schema, *, required: bool, also: Sequence[int] = ()
) -> Operation:
    return {
        "summary": summary,
        "operationId": name,
        "requestBody": {"required": required, "content": content(request)},
        "responses": responses(content(answer), body=True, tokens=tokens, also=also),
    }

"""The statuses that routes answer with, and the JSON of answers that are alike for every model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from onnxpress.serving.routes.openapi.schemas import CLASSES, Schema

_MEANINGS = {
    400: "The request is not as it should be; `error` says what is wrong.",
    401: "No valid bearer token was shown.",
    403: "The server was started without `--model-control`.",
    404: "There is no such model or version.",
    408: "The request did not arrive in time.",
    413: "The body is too large.",
    415: "The body is packed in a way that is not known here.",
    431: "The request line and headers are too large.",
    500: "The server failed at it.",
    503: "Not now: models are being loaded, too much waits, or the server is leaving. `Retry-After` says when.",
    504: "The request's own timeout was over before it could be run.",
}
_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_DATES: Schema = {"type": "object", "required": ["count", "ns"], "properties": {"count": _COUNT, "ns": _COUNT}}
_SIZES: Schema = {"type": "array", "items": {"type": "integer", "minimum": -1}}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "required": list(properties), "properties": properties}


def _list(of: Schema) -> Schema:
    return {"type": "array", "items": of}


_DESCRIBED = _object(name=_TEXT, datatype=_TEXT, shape=_SIZES)
_CONFIGURED = _object(name=_TEXT, data_type=_TEXT, dims=_SIZES)
_VERSION_STATUS = _object(version=_TEXT, state=_TEXT, status=_object(error_code=_TEXT, error_message=_TEXT))
SCHEMAS: dict[str, Schema] = {
    "Error": _object(error=_TEXT),
    "Live": _object(live={"type": "boolean"}),
    "Ready": {**_object(ready={"type": "boolean"}), "description": "`reason` says what is wrong, if known."},
    "Health": _object(status=_TEXT),
    "Server": _object(name=_TEXT, version=_TEXT, extensions=_list(_TEXT)),
    "ModelMetadata": _object(
        name=_TEXT,
        versions=_list(_TEXT),
        platform=_TEXT,
        inputs=_list(_DESCRIBED),
        outputs=_list(_DESCRIBED),
        parameters={"type": "object", "description": "What was measured of this version."},
    ),
    "ModelConfig": _object(
        name=_TEXT, platform=_TEXT, backend=_TEXT, max_batch_size=_COUNT, input=_list(_CONFIGURED),
        output=_list(_CONFIGURED), default_model_filename=_TEXT,
    ),
    "Statistics": _object(
        model_stats=_list(
            _object(
                name=_TEXT,
                version=_TEXT,
                last_inference=_COUNT,
                inference_count=_COUNT,
                execution_count=_COUNT,
                inference_stats={"type": "object", "additionalProperties": _DATES},
                batch_stats=_list(
                    _object(batch_size=_COUNT, compute_input=_DATES, compute_infer=_DATES, compute_output=_DATES)
                ),
            )
        )
    ),
    "Index": _list(_object(name=_TEXT, version=_TEXT, state={"enum": ["READY", "UNAVAILABLE"]}, reason=_TEXT)),
    "ModelNames": _object(models=_list(_TEXT)),
    "ModelStatus": _object(model_version_status=_list(_VERSION_STATUS), name=_TEXT, ready={"type": "boolean"}),
    "ModelSignature": _object(
        model_spec=_object(name=_TEXT, signature_name=_TEXT, version=_TEXT), metadata={"type": "object"}
    ),
    "Classified": _object(result=_list(_list({"type": "array", "prefixItems": [_TEXT, {"type": ["number", "null"]}]}))),
    "Regressed": _object(result=_list({"type": ["number", "null"]})),
    "Classes": CLASSES,
}  # fmt: skip
"""of answers, by name"""


def ref(name: str) -> Schema:
    """A schema among the document's components."""
    return {"$ref": f"#/components/schemas/{name}"}


def content(schema: Schema, media: str = "application/json", example: Any = None) -> dict[str, Any]:
    """A body of this schema."""
    return {media: {"schema": schema} if example is None else {"schema": schema, "example": example}}


def responses(
    answer: dict[str, Any], *, body: bool, tokens: bool, also: Iterable[int] = (), not_ready: Schema | None = None
) -> dict[str, Any]:
    """What an operation answers with: `answer` is the content of 200, `also` are statuses besides the usual.

    `not_ready`: what stands in the body of 503 where that is not an error.
    """
    statuses = {400, 431, 500, 503, *also}
    if body:
        statuses |= {408, 413, 415}
    if tokens:
        statuses.add(401)
    found: dict[str, Any] = {"200": {"description": "The answer.", "content": answer}}
    for status in sorted(statuses):
        schema = ref("Error")
        if status == 503 and not_ready is not None:
            schema = {"anyOf": [not_ready, schema]}
        found[str(status)] = {"description": _MEANINGS[status], "content": content(schema)}
    return found

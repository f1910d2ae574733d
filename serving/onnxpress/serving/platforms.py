"""What a platform that runs containers wants of the server in one: where to listen, what to load, and which paths.

Amazon SageMaker: https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html.
Google's Vertex AI: https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from onnxpress.core.errors import UsageError

Platform = Literal["none", "sagemaker", "vertex"]
_PORT = {"sagemaker": "SAGEMAKER_BIND_TO_PORT", "vertex": "AIP_HTTP_PORT"}
_USUAL_PORT = 8080


class Paths(msgspec.Struct, frozen=True):
    """Where the platform asks how the server is, and where it sends what callers ask."""

    health: str
    predict: str


def paths(platform: Platform, environment: Mapping[str, str]) -> Paths:
    """Raises UsageError for a path in the environment that is none.

    >>> paths("sagemaker", {})
    Paths(health='/ping', predict='/invocations')
    """
    if platform == "sagemaker":
        return Paths("/ping", "/invocations")
    found = Paths(environment.get("AIP_HEALTH_ROUTE", "/health"), environment.get("AIP_PREDICT_ROUTE", "/predict"))
    for name, path in (("AIP_HEALTH_ROUTE", found.health), ("AIP_PREDICT_ROUTE", found.predict)):
        if not path.startswith("/"):
            raise UsageError(f"{name} is {path!r}, which is no path", hint="it begins with /")
    return found


def defaults(platform: Platform, environment: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Group of the settings → field → value, of those that the platform has a say in; the empty name is of no group.

    Raises UsageError for a port in the environment that is none.
    """
    if platform == "none":
        return {}
    told = environment.get(_PORT[platform], str(_USUAL_PORT))
    if not told.isdecimal() or not 0 < int(told[:6]) < 65536:
        raise UsageError(f"{_PORT[platform]} is {told!r}, which is no port")
    found: dict[str, dict[str, Any]] = {"address": {"host": ("0.0.0.0",), "port": int(told)}}
    if platform == "sagemaker":
        found[""] = {"path": Path("/opt/ml/model")}
    return found

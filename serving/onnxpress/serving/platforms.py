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
from onnxpress.core.version_folder import MODEL_FILE

Platform = Literal["none", "sagemaker", "vertex"]
_PORT = {"sagemaker": "SAGEMAKER_BIND_TO_PORT", "vertex": "AIP_HTTP_PORT"}
_USUAL_PORT = 8080
_NUMBERS = {
    "SAGEMAKER_MODEL_SERVER_WORKERS": ("processes", "workers", 1),
    "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": ("processes", "run_limit", 1),
    "SAGEMAKER_MAX_PAYLOAD_IN_MB": ("limits", "max_body", 1 << 20),
}
"""what SageMaker's own containers are told in the environment → the setting that it is here, and in how many units"""
_STORAGE = "AIP_STORAGE_URI"


class Paths(msgspec.Struct, frozen=True):
    """Where the platform asks how the server is, where it sends what callers ask, and what they accept if unsaid.

    `parameters` is where SageMaker's batch transform asks how many requests it may send; empty elsewhere.
    """

    health: str
    predict: str
    accept: str = ""
    parameters: str = ""


def paths(platform: Platform, environment: Mapping[str, str]) -> Paths:
    """Raises UsageError for a path in the environment that is none.

    >>> paths("vertex", {})
    Paths(health='/health', predict='/predict', accept='', parameters='')
    """
    if platform == "sagemaker":
        accept = environment.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "")
        return Paths("/ping", "/invocations", accept, "/execution-parameters")
    found = Paths(environment.get("AIP_HEALTH_ROUTE", "/health"), environment.get("AIP_PREDICT_ROUTE", "/predict"))
    for name, path in (("AIP_HEALTH_ROUTE", found.health), ("AIP_PREDICT_ROUTE", found.predict)):
        if not path.startswith("/"):
            raise UsageError(f"{name} is {path!r}, which is no path", hint="it begins with /")
    return found


def defaults(platform: Platform, environment: Mapping[str, str], *, path_given: bool) -> dict[str, dict[str, Any]]:
    """Group of the settings → field → value, of those that the platform has a say in; the empty name is of no group.

    `path_given`: whether it is said elsewhere where the models are. Raises UsageError for a port or a number in the
    environment that is none, and for what is not to be had here.
    """
    if platform == "none":
        return {}
    told = environment.get(_PORT[platform], str(_USUAL_PORT))
    if not told.isdecimal() or not 0 < int(told[:6]) < 65536:
        raise UsageError(f"{_PORT[platform]} is {told!r}, which is no port")
    found: dict[str, dict[str, Any]] = {"address": {"host": ("0.0.0.0",), "port": int(told)}}
    if platform == "sagemaker":
        _sagemaker(environment, found)
    elif not path_given and (told := environment.get(_STORAGE, "")):
        found[""] = {"path": _folder(told)}
    return found


def _sagemaker(environment: Mapping[str, str], found: dict[str, dict[str, Any]]) -> None:
    if environment.get("SAGEMAKER_MULTI_MODEL", "").lower() == "true":
        raise UsageError(
            "SAGEMAKER_MULTI_MODEL is true, and endpoints of several models are not to be had here",
            hint="make an endpoint for each model, or send V2 requests to a server of all of them",
        )
    found[""] = {"path": _models_in(Path(environment.get("SAGEMAKER_BASE_DIR", "/opt/ml")) / "model")}
    for name, (group, field, unit) in _NUMBERS.items():
        if (told := environment.get(name, "")) == "":
            continue
        if not told.isdecimal() or not int(told[:9]) > 0:
            raise UsageError(f"{name} is {told!r}, which is no whole number above 0")
        found.setdefault(group, {})[field] = int(told) * unit


def _folder(told: str) -> Path:
    """Where Vertex AI says that the model's files are. Raises UsageError for a bucket."""
    folder = told.removeprefix("file://")
    if "://" in folder:
        raise UsageError(
            f"{_STORAGE} is {told}, which is not fetched here",
            hint="put the models into the image, or copy them there first, and name the folder: onnxpress serve PATH",
        )
    return _models_in(Path(folder))


def _models_in(folder: Path) -> Path:
    """The folder, or the one `.onnx` file in it where that has a name of its own."""
    files = list(folder.glob("*.onnx"))
    return files[0] if len(files) == 1 and files[0].name != MODEL_FILE else folder

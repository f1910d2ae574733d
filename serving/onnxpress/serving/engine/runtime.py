"""The one place that imports onnxruntime: telemetry off first, a clear message where it is missing."""

from __future__ import annotations

import os
from functools import cache
from types import ModuleType

from onnxpress.core.optional import missing


@cache
def onnxruntime() -> ModuleType:
    """The module onnxruntime. Raises MissingExtra, naming both extras, where it is not installed."""
    # On by default since 1.29 on Linux, and read when the library loads.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    # With it the runtime takes session options, file names among them, out of a model's own metadata.
    os.environ.pop("ORT_LOAD_CONFIG_FROM_MODEL", None)
    try:
        import onnxruntime as runtime
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] == "onnxruntime":
            raise missing("onnxruntime", "running a model") from None
        raise
    return runtime

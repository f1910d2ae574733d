"""The one place that imports onnxruntime: telemetry off first, a clear message where it is missing."""

from __future__ import annotations

import os
from functools import cache
from types import ModuleType

from onnxpress.core.device import PROVIDERS, parse
from onnxpress.core.errors import BadModel
from onnxpress.core.optional import missing


@cache
def onnxruntime() -> ModuleType:
    """The module onnxruntime. Raises MissingExtra, naming both extras, where it is not installed."""
    # On by default since 1.29 on Linux, and read when the library loads.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    try:
        import onnxruntime as runtime
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] == "onnxruntime":
            raise missing("onnxruntime", "running a model") from None
        raise
    return runtime


def provider_options(provider: str, *, tf32: bool = False) -> list[tuple[str, dict[str, str]]]:
    """The runtime's provider list for a device such as `cpu` or `cuda:1`, see `device`; what it needs is loaded.

    Raises UsageError for what is no device, BadModel where it is not available, with what is missing.
    """
    device = parse(provider)
    name = PROVIDERS[device.provider]
    available = onnxruntime().get_available_providers()
    if name not in available:
        raise BadModel(
            f"the {device.provider} execution provider is not in this onnxruntime (it has {', '.join(available)})",
            hint='pip uninstall onnxruntime, then pip install "onnxpress[cuda]"' if device.provider == "cuda" else None,
        )
    if device.provider == "cuda":
        from onnxpress.serving.engine import cuda

        cuda.load(device.index)
    return [(name, device.options(tf32=tf32))]

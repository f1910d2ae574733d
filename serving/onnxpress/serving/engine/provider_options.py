"""What a session is told of the device that it runs on, whose libraries are loaded first."""

from __future__ import annotations

from onnxpress.core.device import PROVIDERS, parse
from onnxpress.core.errors import BadModel
from onnxpress.serving.engine.runtime import onnxruntime


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
        from onnxpress.serving.engine import cuda  # a CPU's server starts without it

        cuda.load(device.index)
    return [(name, device.options(tf32=tf32))]

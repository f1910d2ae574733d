"""What a session is told of the device that it runs on, whose libraries are loaded first."""

from __future__ import annotations

from onnxpress.core.device import PROVIDERS, parse
from onnxpress.core.errors import BadModel
from onnxpress.serving.engine.runtime import onnxruntime


def provider_options(provider: str, model: str | bytes, *, tf32: bool = False) -> list[tuple[str, dict[str, str]]]:
    """The runtime's list of providers for a device such as `cpu` or `cuda:1`, see `device`; what they need is loaded.

    The first is the one that was asked for. Raises UsageError for what is no device, BadModel where it is not
    available, with what is missing.
    """
    device = parse(provider)
    name = PROVIDERS[device.provider]
    available = onnxruntime().get_available_providers()
    if name not in available:
        raise BadModel(
            f"the {device.provider} execution provider is not in this onnxruntime (it has {', '.join(available)})",
            hint=None if device.provider == "cpu" else 'pip uninstall onnxruntime, then pip install "onnxpress[cuda]"',
        )
    if device.provider == "cpu":
        return [(name, {})]
    from onnxpress.serving.engine import cuda  # a CPU's server starts without it

    on_cuda = PROVIDERS["cuda"], device.options(tf32=tf32)
    if device.provider == "cuda":
        cuda.load(device.index)
        return [on_cuda]
    from onnxpress.serving.engine import tensorrt

    tensorrt.load(device.index)
    return [(name, tensorrt.options(device, model, tf32=tf32)), on_cuda]

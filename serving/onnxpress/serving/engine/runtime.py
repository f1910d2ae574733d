"""The one place that imports onnxruntime: telemetry off first, a clear message where it is missing."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from types import ModuleType

from onnxpress.core.errors import BadModel, UsageError
from onnxpress.core.optional import missing

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


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


def missing_for(provider: str) -> str:
    """Why a provider that this onnxruntime has cannot be used here: the library or the device that is missing."""
    folder = Path(str(onnxruntime().__file__)).parent / "capi"
    return _missing(folder / f"libonnxruntime_providers_{provider}.so", "libcuda.so.1")


def _missing(library: Path, driver: str) -> str:
    import ctypes  # only the unlucky need it

    for what in (driver, str(library)):
        try:
            loaded = ctypes.CDLL(what)
        except OSError as error:
            # The linker's words name the file: `libcudnn.so.9: cannot open shared object file`.
            return f"{error}"
        if what == driver:
            code = loaded.cuInit(0)
            if code != 0:
                return f"the driver finds no usable device (cuInit answers {code})"
    return "the provider's libraries are there and load; run with --debug for the runtime's own words"


def provider_options(provider: str) -> list[tuple[str, dict[str, str]]]:
    """The runtime's provider list for `cpu` or `cuda`. Raises BadModel where it is not available."""
    runtime = onnxruntime()
    if provider not in PROVIDERS:
        raise UsageError(f"there is no provider {provider!r}", hint=f"choose one of {', '.join(PROVIDERS)}")
    name = PROVIDERS[provider]
    available = runtime.get_available_providers()
    if name not in available:
        raise BadModel(
            f"the {provider} execution provider is not in this onnxruntime (it has {', '.join(available)})",
            hint='pip uninstall onnxruntime, then pip install "onnxpress[cuda]"' if provider == "cuda" else None,
        )
    if provider == "cuda":
        # TF32 keeps 10 bits of mantissa: off unless somebody asks, as the figures were measured in float32.
        # The default cuDNN search stalls for seconds on every new shape.
        return [(name, {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"})]
    return [(name, {})]

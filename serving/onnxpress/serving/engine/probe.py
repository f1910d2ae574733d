"""Whether CUDA can be used here: driver, devices and libraries with their versions, and a tiny model run on each."""

from __future__ import annotations

import ctypes
from base64 import b64decode
from time import perf_counter
from typing import Any

import numpy as np

from onnxpress.core.errors import OnnxpressError
from onnxpress.serving.engine import cuda
from onnxpress.serving.engine.engine import Engine

_MODEL = b64decode(
    "CAo6YQoRCgF4CgF3EgF5IgZNYXRNdWwSBWdyYXBoKhsIAggCEAFCAXdKEAAAgD8AAABAAABAQAAAgEBaEwoBeBIOCgwIARIICgIIAgoCCAJiEwoBeRIO"
    "CgwIARIICgIIAgoCCAJCBAoAEBI="
)
"""y = x @ [[1, 2], [3, 4]], float32 (2, 2)"""
_MANAGEMENT = "libnvidia-ml.so.1"
_VERSION_BYTES = 96


def ran(provider: str) -> str:
    """Run a tiny model there: `a tiny model ran in 1.2 s, its loading included`, or why it did not."""
    started = perf_counter()
    try:
        (answer,) = Engine.load(_MODEL, provider=provider).run({"x": np.eye(2, dtype=np.float32)}).values()
    except OnnxpressError as error:
        return f"a tiny model cannot be run: {error.what}"
    if not np.array_equal(answer, np.array([[1, 2], [3, 4]], np.float32)):
        return f"a tiny model answers wrongly: {answer.tolist()}"
    return f"a tiny model ran in {perf_counter() - started:.2f} s, its loading included"


def cuda_state() -> dict[str, Any]:
    """Versions, devices and libraries. Raises BadModel where driver, device or libraries are missing."""
    first = cuda.driver()
    loaded = cuda.load()
    devices = {}
    for index in range(first.devices):
        one = cuda.driver(index)
        devices[f"cuda:{index}"] = {
            "name": one.name,
            "memory": one.memory,
            "capability": one.capability,
            "ran": ran(f"cuda:{index}"),
        }
    return {
        "driver": _driver_version(),
        "cuda": first.cuda,
        "runtime": _runtime_version(loaded.libraries.get("cudart")),
        "cudnn": _cudnn_version(loaded.libraries.get("cudnn")),
        "load_seconds": round(loaded.seconds, 4),
        "libraries": loaded.libraries,
        "devices": devices,
    }


def _driver_version(library: str = _MANAGEMENT) -> str | None:
    try:
        management = ctypes.CDLL(library)
    except OSError:
        return None
    text = ctypes.create_string_buffer(_VERSION_BYTES)
    if management.nvmlInit_v2() or management.nvmlSystemGetDriverVersion(text, _VERSION_BYTES):
        return None
    return text.value.decode(errors="replace")


def _runtime_version(library: str | None) -> str | None:
    if library is None:
        return None
    found = ctypes.c_int()
    if ctypes.CDLL(library).cudaRuntimeGetVersion(ctypes.byref(found)):
        return None
    return f"{found.value // 1000}.{found.value % 1000 // 10}"


def _cudnn_version(library: str | None) -> str | None:
    if library is None:
        return None
    get = ctypes.CDLL(library).cudnnGetVersion
    get.restype = ctypes.c_size_t
    number = get()
    return f"{number // 10000}.{number % 10000 // 100}.{number % 100}"

"""Where a measurement is made: packages, Python, processor, provider."""

from __future__ import annotations

import contextlib
import platform
from importlib.metadata import PackageNotFoundError, version

_VERSIONS = ("onnxpress", "onnx", "onnxruntime", "onnxruntime-gpu", "torch", "tensorflow", "keras", "tf2onnx", "numpy")


def environment(provider: str) -> dict[str, str]:
    """Where a measurement was made: packages, Python, processor, provider."""
    here = {"python": platform.python_version(), "machine": platform.machine(), "provider": provider}
    return here | installed_versions()


def installed_versions() -> dict[str, str]:
    """The versions of the packages that shape an export, as far as they are installed."""
    installed = {}
    for package in _VERSIONS:
        with contextlib.suppress(PackageNotFoundError):
            installed[package] = version(package)
    return installed

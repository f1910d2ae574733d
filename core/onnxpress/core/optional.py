"""Optional imports: one table says which extra brings which package.

`require("torch", needed_by="exporting a torch module")` returns the module or raises MissingExtra with the pip line.
"""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

from onnxpress.core.errors import MissingExtra

EXTRA_OF: dict[str, str] = {
    "onnxruntime": "cpu",
    "torch": "pytorch",
    "accelerate": "pytorch",
    "safetensors": "pytorch",
    "tensorflow": "tensorflow",
    "keras": "tensorflow",
    "tf2onnx": "tensorflow",
    "skl2onnx": "sklearn",
    "onnxmltools": "boosting",
    "onnx": "pytorch",
    "onnx_ir": "pytorch",
    "onnxscript": "pytorch",
    "sklearn": "sklearn",
    "matplotlib": "pytorch",
    "yaml": "pytorch",
    "scipy": "pytorch",
    "ijson": "pytorch",
    "tensorboard": "pytorch",
    "ruff": "pytorch",
    "opentelemetry": "otel",
}


def is_installed(name: str) -> bool:
    """Whether the top-level package `name` can be found, without importing it.

    A bare folder of that name on the path (say `onnx/` with model files) is no package: its spec has no origin.
    """
    spec = importlib.util.find_spec(name)
    return spec is not None and spec.origin is not None


def missing(name: str, needed_by: str) -> MissingExtra:
    """The error for an absent package: who needs it, and the pip line that brings it."""
    package = name.partition(".")[0]
    hint = f'pip install "onnxpress[{EXTRA_OF[package]}]"' if package in EXTRA_OF else f"pip install {package}"
    if package == "onnxruntime":
        hint = 'pip install "onnxpress[cpu]", or "onnxpress[cuda]" for an NVIDIA GPU (one of them, not both)'
    elif package in {"onnx", "onnx_ir", "sklearn", "matplotlib", "yaml", "scipy", "ijson", "tensorboard", "ruff"}:
        hint = 'pip install "onnxpress[pytorch]" or "onnxpress[tensorflow]", whichever framework you use'
    return MissingExtra(f"{needed_by} needs the package {package}, which is not installed", hint=hint)


def require(name: str, *, needed_by: str) -> ModuleType:
    """Import `name`; raise MissingExtra if its package is absent. An installed package's own error is not hidden."""
    package = name.partition(".")[0]
    if not is_installed(package):
        raise missing(name, needed_by)
    return importlib.import_module(name)

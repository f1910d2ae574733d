"""The machine and the versions that a record was made with."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "onnxpress",
    "onnxruntime",
    "torch",
    "tensorflow",
    "keras",
    "onnx",
    "numpy",
    "uvloop",
    "httptools",
    "msgspec",
    "pysimdjson",
)


def describe() -> dict[str, str]:
    """What a reader must know to compare the record with another."""
    found = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": _processor(),
        "cpus": str(len(os.sched_getaffinity(0))),
    }
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()

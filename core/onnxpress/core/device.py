"""Where a model runs, read from text: `cpu`, `cuda`, `cuda:1`, and what else is asked of a GPU after commas."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from onnxpress.core.errors import UsageError

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
_ARENAS = {"doubling": "kNextPowerOfTwo", "exact": "kSameAsRequested"}
_SEARCHES = {"heuristic": "HEURISTIC", "exhaustive": "EXHAUSTIVE", "default": "DEFAULT"}
_UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_GRAMMAR = (
    "cpu, cuda, or cuda:N, and after commas memory=4GiB, arena=doubling|exact, "
    "search=heuristic|exhaustive|default, nhwc, graphs; or tensorrt, tensorrt:N, and memory=4GiB"
)


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A provider, which of its devices, and the options that somebody asked for."""

    provider: Literal["cpu", "cuda", "tensorrt"] = "cpu"
    index: int = 0
    memory: int | None = None
    """bytes that ONNX Runtime's arena may take of the GPU, kernels' workspace on top, or TensorRT's; None for all"""
    arena: str = "doubling"
    """how the arena grows: by powers of two, or by what is asked for"""
    search: str = "heuristic"
    """how cuDNN's convolution is chosen. The runtime's own default, exhaustive, stalls on every new shape"""
    nhwc: bool = False
    """whether convolutions run with the channels last"""
    graphs: bool = False
    """whether whole runs are captured as CUDA graphs, one for each padded batch size"""

    def __str__(self) -> str:
        """As the runtime's own devices are called: `cpu`, `cuda:0`."""
        return self.provider if self.provider == "cpu" else f"{self.provider}:{self.index}"

    def options(self, *, tf32: bool = False) -> dict[str, str]:
        """The CUDA provider's options, also where it stands behind TensorRT's.

        Without `tf32` float32 keeps its 24 bits, as it was measured.
        """
        if self.provider == "cpu":
            return {}
        found = {
            "device_id": str(self.index),
            "use_tf32": str(int(tf32)),
            "cudnn_conv_algo_search": _SEARCHES[self.search],
            "arena_extend_strategy": _ARENAS[self.arena],
        }
        if self.memory is not None:
            found["gpu_mem_limit"] = str(self.memory)
        if self.nhwc:
            found["prefer_nhwc"] = "1"
        if self.graphs:
            found["enable_cuda_graph"] = "1"
        return found


def parse(text: str) -> Device:
    """Read a device. Raises UsageError, with all that can be said, for anything else.

    >>> parse("cuda:1,memory=4GiB").memory
    4294967296
    """
    if text == "cpu":  # said at every start
        return Device()
    place, *words = text.split(",")
    match = re.fullmatch(r"(cpu|cuda|tensorrt)(?::(\d+))?", place)
    if match is None or (match[1] == "cpu" and (match[2] or words)):
        raise UsageError(f"there is no provider {text!r}", hint=f"choose one of {_GRAMMAR}")
    chosen: dict[str, object] = {"provider": match[1], "index": int(match[2] or 0)}
    for word in words:
        name, _, value = word.partition("=")
        if (
            name in chosen
            or (place.startswith("tensorrt") and name != "memory")
            or (found := _option(name, value)) is None
        ):
            raise UsageError(f"{word!r} says nothing of a GPU, or says it twice", where=text, hint=f"known: {_GRAMMAR}")
        chosen[name] = found
    return msgspec.convert(chosen, Device)


def _option(name: str, value: str) -> object | None:
    if name in ("nhwc", "graphs") and not value:
        return True
    if name == "arena" and value in _ARENAS:
        return value
    if name == "search" and value in _SEARCHES:
        return value
    size = re.fullmatch(r"(\d+(?:\.\d+)?)(\w*)", value)
    if name == "memory" and size is not None and size[2] in _UNITS and float(size[1]):
        return int(float(size[1]) * _UNITS[size[2]])
    return None

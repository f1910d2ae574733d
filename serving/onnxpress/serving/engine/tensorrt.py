"""TensorRT: its libraries loaded or named as missing, and what its provider is told of a model.

TensorRT builds an engine for each GPU, which takes seconds to minutes. Built ones are kept in the user's cache folder,
not beside the version: an engine is machine code, and a repository may come from somebody else.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import os
import re
from functools import cache
from pathlib import Path

from onnxpress.core.device import Device
from onnxpress.core.errors import BadModel
from onnxpress.core.onnx_graph import Model, open_model
from onnxpress.serving.engine import cuda, external_data
from onnxpress.serving.engine.padding import MAX_ROWS
from onnxpress.serving.engine.runtime import onnxruntime

INSTALL = "pip install tensorrt-cu13"
_LIBRARIES = ("libnvinfer.so.10", "libnvinfer_plugin.so.10", "libnvonnxparser.so.10")
_USUAL_ROWS = 16
"""what an engine is tuned for; it takes all between one row and `padding.MAX_ROWS`"""


@cache
def load(index: int = 0) -> None:
    """Load CUDA's libraries and TensorRT's, once in a process. Raises BadModel that names what is missing."""
    cuda.load(index)
    for name in _LIBRARIES:
        _load_library(name)
    cuda.require(Path(str(onnxruntime().__file__)).parent / "capi" / "libonnxruntime_providers_tensorrt.so")


def options(device: Device, model: str | bytes, *, tf32: bool = False) -> dict[str, str]:
    """The provider's options for this model: float32 as it was measured, engines kept, one engine for all batches."""
    if not tf32:
        # The provider has no option for it; the libraries read this when they are first used.
        os.environ["NVIDIA_TF32_OVERRIDE"] = "0"
    kept = str(cache_folder(model, cuda.driver(device.index)))
    found = {
        "device_id": str(device.index),
        "trt_fp16_enable": "0",
        "trt_int8_enable": "0",
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": kept,
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": kept,
        **profile(model),
    }
    if device.memory is not None:
        found["trt_max_workspace_size"] = str(device.memory)
    return found


def cache_folder(model: str | bytes, driver: cuda.Driver) -> Path:
    """Where this file's engines for this GPU and runtime are kept, made so that no other user can write there."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    gpu = re.sub(r"\W+", "-", f"{driver.name}-{driver.capability}")
    folder = root / "onnxpress" / "tensorrt" / f"{gpu}-{onnxruntime().__version__}-{_digest(model)[:16]}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise BadModel("TensorRT's engines cannot be kept here: the folder is another user's", where=str(folder))
    return folder


def profile(model: str | bytes) -> dict[str, str]:
    """The sizes that one engine is built for, where inputs are open in the batch alone; else nothing.

    Without it, TensorRT builds anew whenever a batch is larger or smaller than those before.
    """
    if isinstance(model, bytes):
        return _profile(Model(model))
    with open_model(Path(model)) as read:
        return _profile(read)


def _profile(model: Model) -> dict[str, str]:
    constants = {tensor.name for tensor in model.graph.initializers}
    taken = [value for value in model.graph.inputs if value.name not in constants]
    shapes = {value.name: value.shape or () for value in taken}
    if not shapes or not all(
        shape and not isinstance(shape[0], int) and all(isinstance(size, int) for size in shape[1:])
        for shape in shapes.values()
    ):
        return {}
    return {
        f"trt_profile_{bound}_shapes": ",".join(
            f"{name}:{'x'.join(map(str, (rows, *shape[1:])))}" for name, shape in shapes.items()
        )
        for bound, rows in (("min", 1), ("opt", _USUAL_ROWS), ("max", MAX_ROWS))
    }


def _load_library(name: str) -> None:
    spec = importlib.util.find_spec("tensorrt_libs")  # the pip package's folder, which no loader looks into
    places = [str(Path(root) / name) for root in (spec.submodule_search_locations or ())] if spec else []
    problem: OSError | None = None
    for place in (*places, name):
        try:
            ctypes.CDLL(place, mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            problem = problem or error
        else:
            return
    raise BadModel(f"TensorRT cannot be loaded: {problem}", hint=f"{INSTALL}; or serve with --provider cuda")


def _digest(model: str | bytes) -> str:
    if isinstance(model, bytes):
        return hashlib.sha256(model).hexdigest()
    path = Path(model)
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256")
    for weights in external_data.check(path):
        with weights.open("rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()

"""NVIDIA's driver and libraries: loaded before the provider that needs them, and what is missing said by name.

onnxruntime-gpu brings the libraries as pip packages (`[cuda,cudnn]`) but does not load them: without this, or torch
imported before, its CUDA provider cannot be opened. It also counts only packages that lie beside its own folder; here
every folder on the path is looked at.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import io
import re
import weakref
from functools import cache
from pathlib import Path
from time import perf_counter

import msgspec

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadModel
from onnxpress.serving.engine.runtime import onnxruntime

DRIVER = "libcuda.so.1"
INSTALL = 'pip install "onnxruntime-gpu[cuda,cudnn]"'
_NO_DRIVER = "run where nvidia-smi answers; a container needs --gpus all and the NVIDIA Container Toolkit"
_PACKAGES = {
    "cublas": "nvidia-cublas",
    "cublasLt": "nvidia-cublas",
    "cudart": "nvidia-cuda-runtime",
    "cudnn": "nvidia-cudnn-cu{major}",
    "cufft": "nvidia-cufft",
    "curand": "nvidia-curand",
    "nvrtc": "nvidia-cuda-nvrtc",
}
"""library → the pip package that brings it; before CUDA 13 every name but cuDNN's ends in -cu{major} too"""
_MAPPED = re.compile(r"/.*/lib(cublasLt|cublas|cudart|cudnn|cufft|curand|nvrtc|cuda)\.so\.\S+$")
_NAME_BYTES = 128
_FOR_ALL_CONTEXTS = 1  # CU_MEMHOSTREGISTER_PORTABLE


class Driver(msgspec.Struct, frozen=True, kw_only=True):
    """What the driver says of itself and of one device."""

    cuda: str
    """the newest CUDA that it runs, such as 13.0"""
    devices: int
    name: str
    memory: int
    """bytes in all"""
    capability: str
    """compute capability, such as 9.0"""


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """The libraries that the provider will use."""

    seconds: float
    """what loading them took"""
    libraries: dict[str, str]
    """library → the file that was mapped: pip's, torch's or the system's"""


def driver(index: int = 0, library: str = DRIVER) -> Driver:
    """Ask the driver. Raises BadModel where there is none, it finds no device, or not this one."""
    try:
        cuda = ctypes.CDLL(library)
    except OSError as error:
        raise BadModel(f"there is no NVIDIA driver here ({error})", hint=_NO_DRIVER) from None
    if code := cuda.cuInit(0):
        raise BadModel(f"the NVIDIA driver finds no usable device (cuInit answers {code})", hint=_NO_DRIVER)
    version, count, device = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    cuda.cuDriverGetVersion(ctypes.byref(version))
    cuda.cuDeviceGetCount(ctypes.byref(count))
    if index >= count.value:
        raise BadModel(
            f"there is no device cuda:{index}; the driver sees {count.value}",
            hint="they count from 0, and CUDA_VISIBLE_DEVICES hides some",
        )
    cuda.cuDeviceGet(ctypes.byref(device), index)
    name, memory = ctypes.create_string_buffer(_NAME_BYTES), ctypes.c_size_t()
    cuda.cuDeviceGetName(name, _NAME_BYTES, device)
    cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    numbers = []
    for attribute in (75, 76):  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR
        value = ctypes.c_int()
        cuda.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        numbers.append(value.value)
    return Driver(
        cuda=f"{version.value // 1000}.{version.value % 1000 // 10}",
        devices=count.value,
        name=name.value.decode(errors="replace"),
        memory=memory.value,
        capability=".".join(map(str, numbers)),
    )


@cache
def load(index: int = 0) -> Loaded:
    """Load CUDA's and cuDNN's libraries, once in a process, and check that the provider's own can be loaded with them.

    Raises BadModel that names the driver, the device or the library that is missing, and the pip line.
    """
    driver(index)
    started = perf_counter()
    runtime = onnxruntime()
    runtime.set_default_logger_severity(4)  # the provider's own lines; what goes wrong is raised, and said once
    # It prints what it does not find. The provider's own library is asked right after, and says it in one sentence.
    with contextlib.redirect_stdout(io.StringIO()):
        for folder in _elsewhere(Path(str(runtime.__file__)).parent.parent):
            dnn = folder.parent.name == "cudnn"
            runtime.preload_dlls(cuda=not dnn, cudnn=dnn, directory=str(folder))
        runtime.preload_dlls()
    require(Path(str(runtime.__file__)).parent / "capi" / "libonnxruntime_providers_cuda.so")
    return Loaded(seconds=perf_counter() - started, libraries=mapped())


def require(library: Path) -> None:
    """Raise BadModel naming the library without which the provider cannot be loaded, and what brings it."""
    # The provider calls back into this one, and the runtime loads it first.
    shared = library.with_name("libonnxruntime_providers_shared.so")
    for path in (shared, library):
        if not path.exists():
            raise BadModel(f"{path} is missing", hint="pip install --force-reinstall onnxruntime-gpu")
        try:
            ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL if path == shared else ctypes.DEFAULT_MODE)
        except OSError as error:
            # The linker's words name the file: `libcudnn.so.9: cannot open shared object file`.
            raise BadModel(f"{path.name} cannot be loaded: {error}", hint=_bringing(str(error))) from None


def pin(array: Array, library: str = DRIVER) -> bool:
    """Lock the array's memory for as long as it lives, so that a copy to the GPU needs no staging buffer of the driver.

    False, and nothing done, where there is no driver or it refuses: then copies take their usual way.
    """
    try:
        cuda = ctypes.CDLL(library)
    except OSError:
        return False
    address = ctypes.c_void_p(array.ctypes.data)
    if cuda.cuMemHostRegister_v2(address, ctypes.c_size_t(array.nbytes), _FOR_ALL_CONTEXTS):
        return False
    weakref.finalize(array, cuda.cuMemHostUnregister, address)
    return True


def mapped(maps: Path = Path("/proc/self/maps")) -> dict[str, str]:
    """NVIDIA's libraries in this process: name → file. Empty where the system does not tell."""
    try:
        lines = maps.read_text().splitlines()
    except OSError:
        return {}
    found = [match for line in lines if (match := _MAPPED.search(line))]
    return {match[1]: match[0] for match in found}


def _elsewhere(site: Path) -> list[Path]:
    """The folders of NVIDIA's pip packages that do not lie beside onnxruntime, where its own loader looks."""
    spec = importlib.util.find_spec("nvidia")
    roots = [Path(root) for root in (spec.submodule_search_locations or ())] if spec else []
    if site / "nvidia" in roots:
        return []
    folders = [folder / "lib" for root in roots for folder in (*sorted(root.glob("cu[0-9]*")), root / "cudnn")]
    return [folder for folder in folders if folder.is_dir()]


def _bringing(error: str) -> str:
    match = re.search(r"lib(\w+)\.so\.(\d+)", error)
    package = _PACKAGES.get(match[1]) if match else None
    if match is None or package is None:
        return INSTALL
    return f"{INSTALL}; {package.format(major=13)} brings {match[0]}"

"""What is missing for CUDA is said by name; the driver and the libraries are stand-ins, compiled here."""

from __future__ import annotations

import ctypes
import gc
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from onnxpress.core.errors import BadModel
from onnxpress.serving.engine import cuda

_DRIVER = """
#include <string.h>
int cuInit(unsigned flags) { return %(init)d; }
int cuDriverGetVersion(int *v) { *v = 13010; return 0; }
int cuDeviceGetCount(int *c) { *c = 2; return 0; }
int cuDeviceGet(int *d, int i) { *d = i; return 0; }
int cuDeviceGetName(char *n, int l, int d) { strncpy(n, "Pretended", l); return 0; }
int cuDeviceTotalMem_v2(size_t *m, int d) { *m = (size_t)80 << 30; return 0; }
int cuDeviceGetAttribute(int *v, int a, int d) { *v = a == 75 ? 9 : 0; return 0; }
"""
needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


def _library(path: Path, source: str = "int one(void) { return 1; }", *flags: str) -> Path:
    (path.parent / "source.c").write_text(source)
    command = ["cc", "-shared", "-fPIC", f"-Wl,-soname,{path.name}", "-o", str(path), str(path.parent / "source.c")]
    subprocess.run([*command, *flags], check=True, capture_output=True)
    return path


def test_without_a_driver_that_is_what_is_said() -> None:
    with pytest.raises(BadModel, match=r"no NVIDIA driver here \(libnodriver\.so\.1") as caught:
        cuda.driver(library="libnodriver.so.1")
    assert "nvidia-smi" in str(caught.value.hint)


@needs_compiler
def test_a_driver_tells_its_devices_and_refuses_the_one_that_is_not_there(tmp_path: Path) -> None:
    library = str(_library(tmp_path / "libpretended.so.1", _DRIVER % {"init": 0}))
    found = cuda.driver(1, library)
    assert found == cuda.Driver(cuda="13.1", devices=2, name="Pretended", memory=80 << 30, capability="9.0")
    with pytest.raises(BadModel, match=r"no device cuda:2; the driver sees 2"):
        cuda.driver(2, library)


@needs_compiler
def test_a_driver_without_a_device_is_said(tmp_path: Path) -> None:
    library = str(_library(tmp_path / "libempty.so.1", _DRIVER % {"init": 100}))
    with pytest.raises(BadModel, match="cuInit answers 100"):
        cuda.driver(0, library)


@needs_compiler
def test_a_missing_library_is_named_with_the_package_that_brings_it(tmp_path: Path) -> None:
    _library(tmp_path / "libonnxruntime_providers_shared.so")
    needed = _library(tmp_path / "libcublasLt.so.99")
    provider = tmp_path / "libonnxruntime_providers_cuda.so"
    _library(provider, "int one(void); int two(void) { return one(); }", str(needed))
    needed.unlink()
    with pytest.raises(BadModel, match=r"libcublasLt\.so\.99: cannot open") as caught:
        cuda.require(provider)
    assert "onnxruntime-gpu[cuda,cudnn]" in str(caught.value.hint)
    assert "nvidia-cublas brings libcublasLt.so.99" in str(caught.value.hint)
    _library(needed)
    sound = _library(tmp_path / "libsound.so", "int one(void); int two(void) { return one(); }", str(needed),
                     f"-Wl,-rpath,{tmp_path}")  # fmt: skip
    cuda.require(sound)


_PINNING = """
static int registered = 0;
int cuMemHostRegister_v2(void *p, unsigned long size, unsigned flags) { registered += size == 65536; return %(code)d; }
int cuMemHostUnregister(void *p) { registered -= 1; return 0; }
int now(void) { return registered; }
"""


@needs_compiler
def test_memory_is_pinned_for_as_long_as_the_array_lives(tmp_path: Path) -> None:
    library = _library(tmp_path / "libpinning.so.1", _PINNING % {"code": 0})
    array = np.zeros(65536, np.uint8)
    assert cuda.pin(array, str(library))
    now = ctypes.CDLL(str(library)).now
    assert now() == 1
    del array
    gc.collect()
    assert now() == 0


@needs_compiler
def test_where_memory_cannot_be_pinned_it_stays_as_it_is(tmp_path: Path) -> None:
    array = np.zeros(65536, np.uint8)
    assert not cuda.pin(array, str(_library(tmp_path / "librefusing.so.1", _PINNING % {"code": 1})))
    assert not cuda.pin(array, "libnodriver.so.1")


def test_an_incomplete_package_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match=r"libonnxruntime_providers_shared\.so is missing"):
        cuda.require(tmp_path / "libonnxruntime_providers_cuda.so")


def test_the_copy_in_use_is_read_from_the_processs_map(tmp_path: Path) -> None:
    (tmp_path / "maps").write_text(
        "7f00-7f01 r-xp 00000000 fe:00 12   /opt/a b/nvidia/cu13/lib/libcublas.so.13\n"
        "7f01-7f02 r--p 00000000 fe:00 12   /opt/a b/nvidia/cu13/lib/libcublas.so.13\n"
        "7f02-7f03 r--p 00000000 fe:00 13   /usr/lib/libcudnn.so.9\n"
        "7f03-7f04 r--p 00000000 fe:00 13   /usr/lib/libcudnn_graph.so.9\n"
        "7f04-7f05 rw-p 00000000 00:00 0\n"
    )
    found = cuda.mapped(tmp_path / "maps")
    assert found == {"cublas": "/opt/a b/nvidia/cu13/lib/libcublas.so.13", "cudnn": "/usr/lib/libcudnn.so.9"}
    assert cuda.mapped(tmp_path / "none") == {}

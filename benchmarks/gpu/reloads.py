"""Memory on the GPU and on the host: of each model loaded and warm, and over a hundred loads of one."""

from __future__ import annotations

import ctypes
import gc
import os
from pathlib import Path
from typing import Any

from benchmarks.gpu.progress import Progress
from benchmarks.gpu.subjects import Contender, contenders, published, rows
from benchmarks.processes import resident

_RELOADS, _SMALL_RELOADS = 100, 6
_BATCH = 16


def measure(progress: Progress, repository: Path, provider: str, *, small: bool) -> None:
    """`loaded`: model → bytes more than before; `reloads`: contender → how memory and seconds ran."""
    models, known = published(repository), contenders(provider)
    free = _free_memory(provider)
    for name in ("cuda", "cuda graphs"):
        for model, path in models.items():
            progress.attempt("loaded", name, model, run=lambda c=known[name], p=path: _loaded(c, p, free))
    for name, model in (("cuda", "cnn14"), ("cuda graphs", "cnn14"), ("cuda", "minilm")):
        if model in models:
            count = _SMALL_RELOADS if small else _RELOADS
            with progress.kept("reloads", name, model):
                _reload(progress, ("reloads", name, model), known[name], models[model], free, count)


def _loaded(contender: Contender, path: Path, free: Any) -> dict[str, Any]:
    before = free()
    engine = contender.load(path)
    engine.run(rows(path, 1))
    one = free()
    engine.run(rows(path, _BATCH))
    sixteen = free()
    del engine
    gc.collect()
    return {"batch_1": before - one, f"batch_{_BATCH}": before - sixteen, "left_behind": before - free()}


def _reload(
    progress: Progress, place: tuple[str, ...], contender: Contender, path: Path, free: Any, count: int
) -> None:
    feeds = rows(path, 4)
    seen = []
    for number in range(count + 1):
        if progress.left < 2:
            progress.put(f"no time was left after {number}", *place, "error")
            break
        engine = contender.load(path, self_test=True)
        engine.run(feeds)
        engine.close()
        del engine
        if number % max(1, count // 10) == 0:
            gc.collect()
            seen.append({"reloads": number, "gpu_free": free(), "resident": resident(os.getpid())})
            progress.put(seen, *place, "run")
    if len(seen) > 2:
        first, last = seen[1], seen[-1]  # the first load brings what stays
        progress.put(
            {
                "gpu_bytes_grown": first["gpu_free"] - last["gpu_free"],
                "host_bytes_grown": last["resident"] - first["resident"],
                "reloads": last["reloads"] - first["reloads"],
            },
            *place,
            "grown",
        )


def _free_memory(provider: str) -> Any:
    """A function that tells the device's free bytes; 0 for the CPU."""
    if provider == "cpu":
        return lambda: 0
    from onnxpress.serving.engine import cuda

    runtime = ctypes.CDLL(cuda.load().libraries["cudart"])

    def free() -> int:
        found, total = ctypes.c_size_t(), ctypes.c_size_t()
        if runtime.cudaMemGetInfo(ctypes.byref(found), ctypes.byref(total)):
            raise RuntimeError("cudaMemGetInfo fails")
        return found.value

    return free

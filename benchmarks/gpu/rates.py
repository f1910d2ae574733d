"""In this process: seconds of one run and rows a second, at batches of 1 to 256, each contender in turn.

Numbers go in and come out as numpy arrays, as in the server: copies to and from the GPU are counted.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

from benchmarks.gpu.progress import Progress
from benchmarks.gpu.subjects import contenders, published, rows
from onnxpress.serving.engine import Engine

_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_CONTENDERS = ("cuda", "cuda graphs", "cpu", "cuda, tf32", "cuda graphs, tf32", "cuda, nhwc")
_CELL_SECONDS, _SMALL_SECONDS = 0.15, 0.02
_TOO_LONG = 1.5
"""seconds of one run, after which larger batches are left out"""


def measure(progress: Progress, repository: Path, provider: str, *, small: bool) -> None:
    """Contender → model → batch → seconds and rows a second; what is asked first matters most."""
    known, models = contenders(provider), published(repository)
    for name in _CONTENDERS:
        if name not in known:
            continue
        for model, path in models.items():
            if progress.left < 3:
                progress.put("no time was left", name, model, "error")
                continue
            with progress.kept(name, model):
                _model(progress, name, model, path, known[name].load(path), small=small)


def _model(progress: Progress, name: str, model: str, path: Path, engine: Engine, *, small: bool) -> None:
    seconds = _SMALL_SECONDS if small else _CELL_SECONDS
    for batch in _BATCHES[:3] if small else _BATCHES:
        found = progress.attempt(name, model, str(batch), run=lambda b=batch: _cell(engine, path, b, seconds))
        if found is None or found["median_s"] > _TOO_LONG or progress.left < 3:
            return


def _cell(engine: Engine, path: Path, batch: int, seconds: float) -> dict[str, Any]:
    feeds = rows(path, batch)
    values = sum(value.size for value in feeds.values())
    started = time.perf_counter()
    engine.run_all(feeds, values)
    first = time.perf_counter() - started
    engine.run_all(feeds, values)
    times = []
    ends = time.perf_counter() + seconds
    while not times or (time.perf_counter() < ends and len(times) < 5000):
        started = time.perf_counter()
        engine.run_all(feeds, values)
        times.append(time.perf_counter() - started)
    median = statistics.median(times)
    return {"first_s": first, "median_s": median, "min_s": min(times), "rows_per_s": batch / median, "runs": len(times)}

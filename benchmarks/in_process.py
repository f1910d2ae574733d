"""The same trained model run in its framework and in the engine, each contender in its own process.

python -m benchmarks.in_process CONTENDER RUN_FOLDER VERSION_FOLDER   prints one JSON line
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

BATCHES = (1, 64)
_SECONDS = 1.0


def measure(run_folders: dict[str, Path], version_folders: dict[str, Path]) -> dict[str, dict[str, float]]:
    """Microseconds per run of each contender and batch, and ratios to the engine on the same export."""
    found: dict[str, dict[str, float]] = {}
    for framework, run_folder in run_folders.items():
        folders = [str(run_folder), str(version_folders[framework])]
        times = {}
        for contender in ("engine", framework):
            command = [sys.executable, "-m", "benchmarks.in_process", contender, *folders]
            # One thread for everybody: the model is too small for two, and the engine is given one as well.
            environment = os.environ | {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"}
            done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
            times[contender] = json.loads(done.stdout)
        for batch in BATCHES:
            engine, original = times["engine"][str(batch)], times[framework][str(batch)]
            found[f"{framework}, batch {batch}"] = {
                "engine_us": engine, "framework_us": original, "framework_over_engine": original / engine,
            }  # fmt: skip
    return found


def _engine(run_folder: Path, version_folder: Path) -> Callable[[np.ndarray], object]:
    from onnxpress.serving.engine import Engine

    engine = Engine.load(version_folder / "model.onnx", threads=1)
    return lambda rows: engine.run({"features": rows})


def _framework(run_folder: Path, version_folder: Path) -> Callable[[np.ndarray], object]:
    """The framework's own best: the same raw rows, the numpy form of the processing around the network."""
    from onnxpress.core.processing import apply
    from onnxpress.export.sources.resolve import resolve

    source = resolve(str(run_folder))
    if source.framework == "pytorch":
        import torch

        network = source.network.eval()

        def ask(rows: np.ndarray) -> object:
            tensors = apply(source.processing.before, {"features": rows})
            with torch.inference_mode():
                tensors["decoded"] = network(torch.from_numpy(tensors["scaled"])).numpy()
            return apply(source.processing.after, tensors)

        return ask
    import tensorflow as tf

    compiled = tf.function(lambda x: source.network(x, training=False), reduce_retracing=True)

    def ask_keras(rows: np.ndarray) -> object:
        tensors = apply(source.processing.before, {"features": rows})
        tensors["decoded"] = compiled(tf.constant(tensors["scaled"])).numpy()
        return apply(source.processing.after, tensors)

    return ask_keras


def main(contender: str, run_folder: Path, version_folder: Path) -> None:
    """Microseconds per run, by batch size: the best of five stretches, after a warm-up."""
    ask = (_engine if contender == "engine" else _framework)(run_folder, version_folder)
    rows = np.load(run_folder / "samples.npz")["features"]
    result = {}
    for batch in BATCHES:
        x = np.ascontiguousarray(rows[:batch])
        for _ in range(20):
            ask(x)
        count = 1
        while _stretch(ask, x, count) < _SECONDS / 5:
            count *= 2
        result[batch] = min(_stretch(ask, x, count) for _ in range(5)) / count * 1e6
    print(json.dumps(result))


def _stretch(ask: Callable[[np.ndarray], object], x: np.ndarray, count: int) -> float:
    started = time.perf_counter()
    for _ in range(count):
        ask(x)
    return time.perf_counter() - started


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))

"""What a start costs on a GPU: importing, loading libraries, the first session, the first run; each in a process."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.gpu.progress import Progress
from benchmarks.gpu.subjects import published

_PROBE = """
import json, sys, time
from pathlib import Path
marks = {"began": time.perf_counter()}
def mark(name):
    marks[name] = time.perf_counter()
import numpy as np
from onnxpress.serving.engine import Engine
from onnxpress.serving.engine.runtime import onnxruntime
onnxruntime(); mark("import_s")
if sys.argv[2] != "cpu":
    from onnxpress.serving.engine import cuda
    cuda.load()
mark("libraries_s")
engine = Engine.load(Path(sys.argv[1]), provider=sys.argv[2], self_test=False); mark("session_s")
from benchmarks.gpu.subjects import rows
feeds = rows(Path(sys.argv[1]), 1); mark("rows_s")
engine.run(feeds); mark("first_run_s")
engine.run(feeds); mark("second_run_s")
names = list(marks)
print(json.dumps({b: marks[b] - marks[a] for a, b in zip(names, names[1:])}))
"""


def measure(progress: Progress, repository: Path, provider: str, *, small: bool) -> None:
    """Device → model → step → seconds, the median of three processes."""
    for device in dict.fromkeys((provider, "cpu")):
        for model in ("tiny", "cnn14", "minilm", "resnet"):
            if model in (models := published(repository)) and progress.left > 10:
                progress.attempt(
                    device, model, run=lambda p=models[model], d=device: _steps(p, d, 1 if small else 3)
                )  # fmt: skip


def _steps(path: Path, device: str, rounds: int) -> dict[str, float]:
    command = [sys.executable, "-c", _PROBE, str(path), device]
    found = []
    for _ in range(rounds):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise RuntimeError(done.stderr[-600:])
        found.append(json.loads(done.stdout))
    return {name: statistics.median(one[name] for one in found) for name in found[0]}

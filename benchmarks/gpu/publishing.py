"""The six models exported and measured on the CPU, by `onnxpress export`, side by side in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.gpu.names import NAMES
from benchmarks.gpu.progress import Progress

MODELS = Path(__file__).parent / "models.py"
_COMMAND = "import sys; from onnxpress.core.cli import main; main(sys.argv[1:])"
_LINES = 12


def measure(progress: Progress, repository: Path, provider: str, *, small: bool) -> None:
    """Model → seconds and what `export` said; and `cnn14` once more, measured on the GPU itself."""
    # The largest first: it takes longest.
    names = [name for name in ("resnet", "minilm", "lstm", "cnn14", "tabular", "tiny") if name in NAMES]
    if small:
        names.remove("resnet")
    there = [name for name in names if (repository / name / "1" / "manifest.json").exists()]
    progress.put(there, "there already")
    names = [name for name in names if name not in there]
    _side_by_side(progress, {name: (repository, name, "cpu") for name in names})
    if provider != "cpu":
        elsewhere = repository.parent / "measured-on-gpu"
        _side_by_side(progress, {f"{name}, {provider}": (elsewhere, name, provider) for name in ("cnn14", "lstm")})


def _side_by_side(progress: Progress, wanted: dict[str, tuple[Path, str, str]]) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // 4)), "MKL_NUM_THREADS": "4"}
    began = time.monotonic()
    running = {}
    for label, (repository, name, provider) in wanted.items():
        command = [sys.executable, "-c", _COMMAND, "export", f"{MODELS}:{name}", "--name", name]
        command += ["--repository", str(repository), "--provider", provider]
        log = repository.parent / f"export-{name}-{provider.replace(':', '')}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as out:
            process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment)
        running[label] = (process, log)
    while running:
        for label, (process, log) in list(running.items()):
            late = progress.left < 2
            if process.poll() is None and not late:
                continue
            if process.poll() is None:
                process.kill()
            process.wait()
            said = log.read_text().splitlines()[-_LINES:]
            seconds = round(time.monotonic() - began, 2)
            progress.put(
                {"code": "no time was left" if late else process.returncode, "seconds": seconds, "said": said}, label
            )
            del running[label]
        time.sleep(0.05)

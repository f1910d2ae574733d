"""The tests marked `gpu`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from benchmarks.gpu.progress import Progress

ROOT = Path(__file__).parents[2]
_LINES = 60


def measure(progress: Progress, repository: Path, provider: str, *, small: bool) -> None:
    """How many passed, and the end of what pytest said."""
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider", "-rA", "--tb=short"]
    done = subprocess.run(
        [*command, "tests/serving/engine"], cwd=ROOT, capture_output=True, text=True, timeout=progress.left
    )
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|skipped|error)", done.stdout)}
    progress.put(counts, "counts")
    progress.put((done.stdout + done.stderr).splitlines()[-_LINES:], "said")

"""Whether written code is as `ruff check` and `ruff format` leave it, with their defaults."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def assert_formatted(written: Path) -> None:
    """Of a module, or of all in a folder."""
    ruff = str(Path(sys.executable).with_name("ruff"))
    for command in (["check"], ["format", "--diff"]):
        given = [ruff, *command, "--isolated", "--no-cache", str(written)]
        done = subprocess.run(given, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout

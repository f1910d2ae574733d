"""Building the wheel: with the hot path compiled where that can be done, and without it where it cannot.

That the compiled one works is `make wheel-smoke`'s matter, which runs the serving side's tests against it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def build(folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """The wheel, by way of the sdist, with what is installed here."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    return subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, timeout=240, check=False)


def modules(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as content:
        return {Path(name).name.partition(".")[0] for name in content.namelist() if name.endswith((".so", ".pyd"))}


@pytest.mark.parametrize("settings", [{"ONNXPRESS_COMPILE": "0"}, {"CC": "false"}], ids=["not wanted", "no compiler"])
def test_a_wheel_of_sources_alone(settings: dict[str, str], tmp_path: Path) -> None:
    done = build(tmp_path, **settings)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    assert modules(wheel) == set()
    said = "the server's hot path cannot be compiled" in done.stdout + done.stderr
    assert said is ("CC" in settings)


def test_a_compiler_that_is_missing_is_an_error_where_it_is_wanted(tmp_path: Path) -> None:
    done = build(tmp_path, ONNXPRESS_COMPILE="1", CC="false")
    assert done.returncode != 0
    assert "the server's hot path cannot be compiled" in done.stdout + done.stderr
    assert list(tmp_path.glob("*.whl")) == []

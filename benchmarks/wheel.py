"""The package as its users install it: the wheel, with the server's hot path compiled.

`python -m benchmarks.wheel FOLDER` prints a path; with it as PYTHONPATH every benchmark measures the wheel.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def install(folder: Path) -> Path:
    """Build the wheel and install it under `folder`; returns the path that goes before the checkout's."""
    print("building the wheel", file=sys.stderr, flush=True)
    site = folder / "site"
    _call("build", "--wheel", "--outdir", str(folder / "dist"), str(ROOT))
    wheel = max((folder / "dist").glob("*.whl"), key=lambda path: path.stat().st_mtime)
    _call("pip", "install", "--no-deps", "--upgrade", "--target", str(site), str(wheel))
    return site.resolve()


def _call(*arguments: str) -> None:
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(
        command, env=os.environ | {"ONNXPRESS_COMPILE": "1"}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-2000:]}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m benchmarks.wheel FOLDER")
    print(install(Path(sys.argv[1])))

"""Runs the tests with branch coverage, in the processes that they start too, and holds the floors; exit 1 below one.

python scripts/coverage.py [TESTS]          run, combine, report
python scripts/coverage.py --report         only combine and report what runs before left in build/coverage
"""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "build" / "coverage"
FLOORS = {"core": 95, "serving": 95, "": 90}
"""source root → per cent of lines and branches; "" is all of them"""


def coverage(*arguments: str) -> int:
    """coverage's command line; its exit code."""
    return subprocess.run([sys.executable, "-m", "coverage", *arguments], cwd=ROOT, check=False).returncode


def drop_torn() -> None:
    """Remove what processes that a test killed had begun to write; at the first such file coverage would fail."""
    for path in DATA.glob("data.*"):
        try:
            with closing(sqlite3.connect(path)) as data:
                data.execute("select count(*) from arc")
        except sqlite3.Error:
            print(f"left out: {path.name}, cut off by the end of its process", flush=True)
            path.unlink()


def main(arguments: list[str]) -> int:
    """Run, combine, report; the first exit code that is not 0."""
    code = 0
    if arguments != ["--report"]:
        shutil.rmtree(DATA, ignore_errors=True)
        DATA.mkdir(parents=True)
        code = coverage("run", "-m", "pytest", "-n", "auto", "--maxprocesses", "4", "--dist", "loadfile", *arguments)
    drop_torn()
    if any(DATA.glob("data.*")):
        code = coverage("combine", "--quiet", "--append") or code
    for portion, floor in FLOORS.items():
        print(f"{portion or 'all'}: at least {floor} %", flush=True)
        include = [f"--include={portion}/*"] if portion else []
        below = coverage("report", f"--fail-under={floor}", *include, *([] if portion else ["--format=total"]))
        code = code or below
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

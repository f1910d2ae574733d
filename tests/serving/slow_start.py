"""`onnxpress serve` whose loading sleeps first, as a large model's would take: `python slow_start.py SECONDS serve`."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

# As the server does it, but before numpy is imported here.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from onnxpress.core import version_folder
from onnxpress.core.cli import main

_SECONDS = float(sys.argv.pop(1))
_located = version_folder.locate


def _locate_late(path: Path) -> version_folder.Located:
    time.sleep(_SECONDS)
    return _located(path)


if __name__ == "__main__":
    version_folder.locate = _locate_late
    main()

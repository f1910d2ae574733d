"""Does ONNX Runtime survive a graph? Tried in a child first, for graphs that a rewriting tool made.

ONNX Runtime 1.31 segfaults while it loads an LSTM of float16 behind some casts. What ends the process is no error that
can be caught.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from onnxpress.core.arrays import Array
from onnxpress.core.exit_code import ending
from onnxpress.core.golden import Golden
from onnxpress.core.manifest import SessionSettings
from onnxpress.export.equivalence.runtime import asking

_SECONDS = 600


def death(model: Path, settings: SessionSettings, feeds: Mapping[str, Array], folder: Path) -> str | None:
    """How a process dies that loads the model file and asks it `feeds`; None where it lives. `folder` holds the talk.

    A model that is refused with an error is no death: load it, and the error is there.
    """
    try:
        ended = subprocess.run(
            asking.command(folder, model, settings, Golden(dict(feeds), {})),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"does not come back within {_SECONDS} s"
    return f"dies ({ending(ended.returncode)})" if ended.returncode < 0 else None

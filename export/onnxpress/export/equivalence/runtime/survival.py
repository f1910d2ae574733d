"""Does ONNX Runtime survive a graph? Tried in a child first, for graphs that a rewriting tool made.

ONNX Runtime 1.31 segfaults while it loads an LSTM of float16 behind some casts. What ends the process is no error that
can be caught.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from onnxpress.core import golden
from onnxpress.core.arrays import Array
from onnxpress.core.golden import Golden
from onnxpress.core.manifest import SessionSettings
from onnxpress.export.equivalence.runtime.survival_child import QUESTION, SETTINGS

_SECONDS = 600


def death(model: Path, settings: SessionSettings, feeds: Mapping[str, Array], folder: Path) -> str | None:
    """How a process dies that loads the model file and asks it `feeds`; None where it lives. `folder` holds the talk.

    A model that is refused with an error is no death: load it, and the error is there.
    """
    (folder / SETTINGS).write_bytes(msgspec.json.encode(settings))
    golden.write(folder / QUESTION, [Golden(dict(feeds), {})])
    command = [sys.executable, "-P", "-m", "onnxpress.export.equivalence.runtime.survival_child"]
    try:
        ended = subprocess.run(
            [*command, str(folder), str(model)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"does not come back within {_SECONDS} s"
    return f"dies ({ending(ended.returncode)})" if ended.returncode < 0 else None


def ending(code: int) -> str:
    """The name of the signal that ended a process with this return code, or the code itself."""
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return str(code)

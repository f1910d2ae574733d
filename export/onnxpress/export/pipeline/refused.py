"""The evidence of a refused export: graph, inputs, answers and report, where `onnxpress verify` shows them again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from onnxpress.core.errors import OnnxpressError

FOLDER = ".refused"
"""inside the repository: hidden, so no server takes it for a model; one refusal of each name is kept"""


def keep(write: Callable[[Path], Path], repository: Path, name: str) -> str:
    """Write the evidence with `write(repository)`, forget the one before, and say how to look at it.

    Never raises: what there is to say is the refusal, also where the disk is full.
    """
    place = repository / FOLDER
    before = list((place / name).glob("*")) if (place / name).is_dir() else []
    try:
        folder = write(place)
    except (OSError, OnnxpressError) as error:
        return f"the evidence could not be kept: {error}"
    for old in before:
        shutil.rmtree(old, ignore_errors=True)
    return f"see it again: onnxpress verify {folder}"

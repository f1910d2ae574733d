"""A question to a model that the runtime may die of: laid into a folder, for a child to ask."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from onnxpress.core import golden
from onnxpress.core.golden import Golden
from onnxpress.core.manifest import SessionSettings
from onnxpress.export.equivalence.runtime import asking_child


def command(folder: Path, model: Path, settings: SessionSettings, question: Golden) -> list[str]:
    """Write the question into `folder`; the command of the child that asks the model file, see `asking_child`."""
    (folder / asking_child.SETTINGS).write_bytes(msgspec.json.encode(settings))
    golden.write(folder / asking_child.QUESTION, [question])
    # -P: the child's imports must not find a user's `types.py` in the working directory before Python's own.
    return [sys.executable, "-P", "-m", asking_child.__name__, str(folder), str(model)]

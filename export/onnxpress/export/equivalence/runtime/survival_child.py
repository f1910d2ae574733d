"""The process that loads a graph first, and runs it once: ONNX Runtime can die of both."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from onnxpress.core import golden
from onnxpress.core.errors import OnnxpressError
from onnxpress.core.manifest import SessionSettings
from onnxpress.serving.engine import Engine

SETTINGS, QUESTION = "survival.json", "survival.npz"
"""files in the folder that it is given"""


def main(folder: Path, model: Path) -> None:
    """Load the model and ask it; an error is no death, and is told by whoever loads it next."""
    settings = msgspec.json.decode((folder / SETTINGS).read_bytes(), type=SessionSettings)
    try:
        engine = Engine.load(model, settings=settings, self_test=False)
        for case in golden.read(folder / QUESTION):
            engine.run(case.inputs)
    except OnnxpressError:
        return


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

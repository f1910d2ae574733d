"""The process that asks a model one question, as the runtime can die of it. It imports what that needs, and no more."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from onnxpress.core import golden
from onnxpress.core.errors import BadData
from onnxpress.core.manifest import SessionSettings
from onnxpress.serving.engine import Engine

SETTINGS, QUESTION = "asked_settings.json", "asked.npz"
"""files in the folder that it is given"""


class Told(msgspec.Struct, frozen=True):
    """Whether the model answers in the shapes that are expected, and what is told of it."""

    answered: bool
    detail: str


def main(folder: Path, model: Path) -> Told:
    """Ask the model the question that lies in `folder`."""
    case = golden.read(folder / QUESTION)[0]
    settings = msgspec.json.decode((folder / SETTINGS).read_bytes(), type=SessionSettings)
    try:
        answers = Engine.load(model, settings=settings, self_test=False).run(case.inputs)
    except BadData as error:
        return Told(False, f"the export does not answer it, though the original does: {error.what}")
    other = [
        f"{name} is {list(answers[name].shape)}, in the original {list(value.shape)}"
        for name, value in case.outputs.items()
        if answers[name].shape != value.shape
    ]
    return Told(not other, "; ".join(other) or "answered")


if __name__ == "__main__":
    print(msgspec.json.encode(main(Path(sys.argv[1]), Path(sys.argv[2]))).decode())

"""A batch of no rows: does the export answer it as the original does? Asked in a child, as the runtime can die of it.

ONNX Runtime 1.31 aborts the whole process on a GRU or LSTM with a batch of 0.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from onnxpress.core import golden
from onnxpress.core.errors import BadData, OnnxpressError
from onnxpress.core.golden import Golden
from onnxpress.core.manifest import SessionSettings
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.equivalence.cases import Case
from onnxpress.export.equivalence.reference import Reference
from onnxpress.export.equivalence.report.schema import Check
from onnxpress.serving.engine import Engine

_MODEL, _SETTINGS, _QUESTION = "no_rows.onnx", "no_rows.json", "no_rows.npz"
_SECONDS = 120


class NoRows(msgspec.Struct, frozen=True):
    """Whether the export answers a batch of no rows as the original does, and what is told of it."""

    answered: bool
    detail: str

    @property
    def check(self) -> Check:
        """Told, not demanded: few models are sent one."""
        return Check(name="no rows", passed=True, detail=self.detail)


def ask(
    reference: Reference,
    content: bytes | Path,
    settings: SessionSettings,
    case: Case,
    outputs: Sequence[TensorSpec],
    folder: Path,
) -> NoRows:
    """What became of `case` without its rows; `folder` is where the child finds the question."""
    feeds = {
        spec.name: case.feeds[spec.name][:0] if spec.shape[:1] == ("batch",) else case.feeds[spec.name]
        for spec in reference.inputs
    }
    try:
        expected = reference.run(feeds)
    except (OnnxpressError, ArithmeticError, LookupError, TypeError, ValueError):
        return NoRows(False, "the original does not answer it")
    model = content if isinstance(content, Path) else folder / _MODEL
    if isinstance(content, bytes):
        model.write_bytes(content)
    (folder / _SETTINGS).write_bytes(msgspec.json.encode(settings))
    golden.write(folder / _QUESTION, [Golden(feeds, {spec.name: expected[spec.name] for spec in outputs})])
    command = [sys.executable, "-P", "-m", "onnxpress.export.equivalence.runtime.no_rows", str(folder), str(model)]
    try:
        ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        return NoRows(False, f"the runtime does not come back within {_SECONDS} s, though the original answers it")
    if ended.returncode == 0:
        return msgspec.json.decode(ended.stdout, type=NoRows)
    name = str(ended.returncode)
    with contextlib.suppress(ValueError):
        name = signal.Signals(-ended.returncode).name
    return NoRows(False, f"the runtime dies of it ({name}), though the original answers it; never send one")


def main(folder: Path, model: Path) -> NoRows:
    """Answer the question that `ask` left in `folder`."""
    case = golden.read(folder / _QUESTION)[0]
    settings = msgspec.json.decode((folder / _SETTINGS).read_bytes(), type=SessionSettings)
    try:
        answers = Engine.load(model, settings=settings, self_test=False).run(case.inputs)
    except BadData as error:
        return NoRows(False, f"the export does not answer it, though the original does: {error.what}")
    other = [
        f"{name} is {list(answers[name].shape)}, in the original {list(value.shape)}"
        for name, value in case.outputs.items()
        if answers[name].shape != value.shape
    ]
    return NoRows(not other, "; ".join(other) or "answered")


if __name__ == "__main__":
    print(msgspec.json.encode(main(Path(sys.argv[1]), Path(sys.argv[2]))).decode())

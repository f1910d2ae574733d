"""A batch of no rows: does the export answer it as the original does? Asked in a child, as the runtime can die of it.

ONNX Runtime 1.31 aborts the whole process on a GRU or LSTM with a batch of 0. The child takes a part of a second to
start, so it answers while other things are measured.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import msgspec

from onnxpress.core.errors import OnnxpressError
from onnxpress.core.exit_code import ending
from onnxpress.core.golden import Golden
from onnxpress.core.manifest import SessionSettings
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.equivalence.cases import Case
from onnxpress.export.equivalence.reference import Reference
from onnxpress.export.equivalence.runtime import asking
from onnxpress.export.equivalence.runtime.asking_child import Told

_MODEL = "no_rows.onnx"
_SECONDS = 120


class Asked:
    """A question that is under way: use it as a context, so that its child has ended when it is left."""

    def __init__(self, child: subprocess.Popen[str] | None = None, known: Told | None = None) -> None:
        """`child` is at work on the answer; without one it is `known`."""
        self._child, self._known = child, known

    def __enter__(self) -> Asked:
        return self

    def __exit__(self, *_: object) -> None:
        if self._child is not None and self._known is None:
            self._child.kill()
            self._child.communicate()

    def answer(self) -> Told:
        """What became of it; waits for it."""
        if self._known is None:
            assert self._child is not None
            self._known = _told(self._child)
        return self._known


def ask(
    reference: Reference,
    content: bytes | Path,
    settings: SessionSettings,
    case: Case,
    outputs: Sequence[TensorSpec],
    folder: Path,
) -> Asked:
    """Begin to ask `case` without its rows; `folder` is where the child finds the question."""
    feeds = {
        spec.name: case.feeds[spec.name][:0] if spec.shape[:1] == ("batch",) else case.feeds[spec.name]
        for spec in reference.inputs
    }
    try:
        expected = reference.run(feeds)
    except (OnnxpressError, ArithmeticError, LookupError, TypeError, ValueError):
        return Asked(known=Told(False, "the original does not answer it"))
    model = content if isinstance(content, Path) else folder / _MODEL
    if isinstance(content, bytes):
        model.write_bytes(content)
    question = Golden(feeds, {spec.name: expected[spec.name] for spec in outputs})
    command = asking.command(folder, model, settings, question)
    pipe = subprocess.PIPE
    return Asked(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True))


def _told(child: subprocess.Popen[str]) -> Told:
    """What the child says, or how it died."""
    try:
        said, _ = child.communicate(timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
        return Told(False, f"the runtime does not come back within {_SECONDS} s, though the original answers it")
    if child.returncode == 0:
        return msgspec.json.decode(said, type=Told)
    name = ending(child.returncode)
    return Told(False, f"the runtime dies of it ({name}), though the original answers it; never send one")

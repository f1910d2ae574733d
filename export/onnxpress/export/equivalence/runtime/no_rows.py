"""A batch of no rows: does the export answer it as the original does? Asked in a child, as the runtime can die of it.

ONNX Runtime 1.31 aborts the whole process on a GRU or LSTM with a batch of 0.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
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
ANSWERED = "answered"
"""the detail of the check where all is well"""


def ask(
    reference: Reference,
    content: bytes | Path,
    settings: SessionSettings,
    case: Case,
    inputs: list[TensorSpec],
    outputs: list[TensorSpec],
    folder: Path,
) -> Check:
    """What became of `case` without its rows. Told, not demanded: few models are sent one."""
    feeds = {
        spec.name: case.feeds[spec.name][:0] if spec.shape[:1] == ("batch",) else case.feeds[spec.name]
        for spec in inputs
    }
    try:
        expected = reference.run(feeds)
    except (OnnxpressError, ArithmeticError, LookupError, TypeError, ValueError):
        return _told("the original does not answer it")
    model = content if isinstance(content, Path) else folder / _MODEL
    if isinstance(content, bytes):
        model.write_bytes(content)
    (folder / _SETTINGS).write_bytes(msgspec.json.encode(settings))
    golden.write(folder / _QUESTION, [Golden(feeds, {spec.name: expected[spec.name] for spec in outputs})])
    command = [sys.executable, "-P", "-m", "onnxpress.export.equivalence.runtime.no_rows", str(folder), str(model)]
    try:
        ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        return _told(f"the runtime does not come back within {_SECONDS} s, though the original answers it")
    if ended.returncode == 0:
        return _told(ended.stdout.strip())
    name = str(ended.returncode)
    with contextlib.suppress(ValueError):
        name = signal.Signals(-ended.returncode).name
    return _told(f"the runtime dies of it ({name}), though the original answers it; never send one")


def _told(detail: str) -> Check:
    return Check(name="no rows", passed=True, detail=detail)


def main(folder: Path, model: Path) -> str:
    """Answer the question that `ask` left in `folder`."""
    case = golden.read(folder / _QUESTION)[0]
    settings = msgspec.json.decode((folder / _SETTINGS).read_bytes(), type=SessionSettings)
    try:
        found = Engine.load(model, settings=settings, self_test=False).run(case.inputs)
    except BadData as error:
        return f"the export does not answer it, though the original does: {error.what}"
    other = [
        f"{name} is {list(found[name].shape)}, in the original {list(value.shape)}"
        for name, value in case.outputs.items()
        if found[name].shape != value.shape
    ]
    return "; ".join(other) or ANSWERED


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), Path(sys.argv[2])))

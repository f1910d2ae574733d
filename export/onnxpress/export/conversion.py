"""The seam between the framework-specific converters and the rest of the stage."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TextIO

import numpy as np

from onnxpress.core.tensors import TensorSpec

if TYPE_CHECKING:
    import onnx

Array = np.ndarray[Any, np.dtype[Any]]
Precision = Literal["float32", "float64"]

OPSET = 18
"""tf2onnx goes no further, and every runtime in use loads it."""
MAX_IR_VERSION = 10


class TruthUnavailable(Exception):
    """The network cannot be run in float64; the noise floor is then found by moving its inputs."""


class Network(Protocol):
    """A framework's network, ready to be converted and to be asked. Two implementations: torch and Keras.

    The caller's own model is never touched: implementations work on a copy, in inference mode.
    """

    framework_version: str
    converter: str
    inputs: list[TensorSpec]
    output_names: list[str]
    notes: list[str]
    """what was put right on the way, for the report"""

    def run(self, feeds: dict[str, Array], precision: Precision) -> dict[str, Array]:
        """The network's own answer; float inputs and weights in `precision`. Raises TruthUnavailable for float64."""

    def random_layer(self, feeds: dict[str, Array]) -> str:
        """The first layer whose output differs between two runs on the same input; the network itself if unknown."""

    def examples(self, batch: int) -> dict[str, Array] | None:
        """The author's example inputs with `batch` rows, or None if there are none."""

    def convert(self) -> onnx.ModelProto:
        """The ONNX form, with this network's input and output names. Raises BadModel with the converter's reason."""


@dataclass
class ConverterTalk:
    """What a converter printed, logged and warned; kept out of stdout and stderr, shown when the conversion fails."""

    lines: list[str] = field(default_factory=list)

    def tail(self, count: int = 12) -> str:
        """The last lines, for an error message."""
        return "\n".join(self.lines[-count:])


@contextlib.contextmanager
def captured() -> Iterator[ConverterTalk]:
    """Collect prints, log records and warnings while a converter runs; ours is the only voice on stdout and stderr.

    The two file descriptors are redirected, not only Python's streams: TensorFlow's C++ side writes to them directly.
    """
    talk = ConverterTalk()
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [(number, os.dup(number)) for number in (1, 2)]
    with tempfile.TemporaryFile() as file, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        stream = io.TextIOWrapper(os.fdopen(os.dup(file.fileno()), "wb"), errors="replace", write_through=True)
        try:
            for number, _ in kept:
                os.dup2(file.fileno(), number)
            with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream), _logging_to(stream):
                yield talk
        finally:
            for number, copy in kept:
                os.dup2(copy, number)
                os.close(copy)
            stream.close()
            file.seek(0)
            text = file.read().decode(errors="replace")
            talk.lines = [line for line in text.splitlines() if line.strip()]
            talk.lines += [f"{warning.category.__name__}: {warning.message}" for warning in caught]


@contextlib.contextmanager
def _logging_to(stream: TextIO) -> Iterator[None]:
    """Send every log record to `stream` alone: converters attach handlers to their own loggers at import."""
    root = logging.getLogger()
    muted = [logging.getLogger(name) for name in ("torch", "torch.onnx", "tensorflow", "tf2onnx", "onnxscript", "absl")]
    before = [(logger, logger.handlers, logger.propagate) for logger in (root, *muted)]
    try:
        for logger, _, _ in before:
            logger.handlers = [logging.StreamHandler(stream)] if logger is root else []
            logger.propagate = True
        yield
    finally:
        for logger, handlers, propagate in before:
            logger.handlers, logger.propagate = handlers, propagate

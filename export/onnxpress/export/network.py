"""The seam between the framework-specific converters and the rest of the stage."""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TextIO

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.captured import Talk, captured
from onnxpress.core.tensors import TensorSpec

if TYPE_CHECKING:
    import onnx

Precision = Literal["float32", "float64"]

OPSET = 18
"""what is written unless another is asked for: tf2onnx goes no further, and every runtime in use loads it"""
OPSETS = range(18, 23)
"""torch's exporter and our own steps start at 18; from 23 on an IR version is needed that few runtimes load"""
MAX_IR_VERSION = 10
LARGE = 1 << 30
"""bytes of weights from which they are kept beside the graph, and handled one layer at a time where that is possible"""

_SAME_ANSWER = 0.05
"""of the output's scale: more than float16 rounding explains in any network seen, less than a lost state changes"""


class TruthUnavailable(Exception):
    """The network cannot be run in float64; the noise floor is then found by moving its inputs."""


def refuse_other_truth(reference: dict[str, Array], truth: dict[str, Array]) -> None:
    """Raise TruthUnavailable where a float64 twin answers another question than its float32 original.

    A state that the twin lacks would otherwise pass for rounding, and raise the noise floor over every fault.
    """
    for name, expected in reference.items():
        found = truth[name]
        if expected.dtype.kind != "f":
            continue
        a, b = np.nan_to_num(expected.astype(np.float64)), np.nan_to_num(found.astype(np.float64))
        if a.shape != b.shape or np.abs(a - b).max(initial=0.0) > _SAME_ANSWER * np.abs(a).max(initial=0.0):
            raise TruthUnavailable(f"in float64 the output {name!r} is another one, not the same more precisely")


class Answering(Protocol):
    """What can be asked in two precisions: a framework's network, or a user's own functions."""

    inputs: list[TensorSpec]

    def run(self, feeds: dict[str, Array], precision: Precision) -> dict[str, Array]:
        """Its own answer; float inputs and weights in `precision`. Raises TruthUnavailable for float64."""


class Network(Answering, Protocol):
    """A framework's network, ready to be converted and to be asked. One implementation for each kind of source.

    The caller's own model is never touched: implementations work on a copy, in inference mode.
    """

    framework_version: str
    converter: str
    output_names: list[str]
    notes: list[str]
    """what was put right on the way, for the report"""
    talk: list[str]
    """what the converter printed and logged, line by line"""

    def random_layer(self, feeds: dict[str, Array]) -> str:
        """The first layer whose output differs between two runs on the same input; the network itself if unknown."""

    def examples(self, batch: int) -> dict[str, Array] | None:
        """The author's example inputs with `batch` rows, or None if there are none."""

    def convert(self, folder: Path) -> onnx.ModelProto:
        """The ONNX form, with this network's input and output names. Raises BadModel with the converter's reason.

        Weights too large for one message may be written into `folder` as `external_data.FILE`.
        """

    def parameters(self) -> dict[str, Array]:
        """The framework's own weights and buffers by name, to be found again in the graph; empty if it has none."""

    def write_state(self, path: Path) -> None:
        """Write the weights, if a second resolving of the same words might give others."""

    def read_state(self, path: Path) -> None:
        """Take weights that `write_state` wrote in another process. Raises BadModel where they do not fit."""


@contextlib.contextmanager
def converter_talk(log: list[str]) -> Iterator[Talk]:
    """Collect a converter's prints, log records and warnings: to be shown when it fails, and in `log` in any case."""
    talk = Talk()
    try:
        with warnings.catch_warnings(record=True) as caught, captured() as said, _logging_to(sys.stderr):
            warnings.simplefilter("always")
            yield talk
    finally:
        talk.lines += said.lines
        talk.lines += [f"{warning.category.__name__}: {warning.message}" for warning in caught]
        log += talk.lines


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

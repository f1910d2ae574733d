"""What a converter prints, logs and warns of, collected: shown when it fails, kept in any case."""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings
from collections.abc import Iterator
from typing import TextIO

from onnxpress.core.captured import Talk, captured


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

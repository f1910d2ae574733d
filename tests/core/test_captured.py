"""Other people's talk is kept off the streams, and loggers made meanwhile still work afterwards."""

from __future__ import annotations

import logging
import os
import sys

import pytest

from onnxpress.core.captured import captured


def test_both_streams_are_collected_down_to_the_descriptors(capfd: pytest.CaptureFixture[str]) -> None:
    with captured() as talk:
        print("from Python")
        os.write(2, b"from C++\n")
    assert sorted(talk.lines) == ["from C++", "from Python"]
    assert capfd.readouterr() == ("", "")


def test_a_logger_made_during_an_import_can_write_afterwards(capfd: pytest.CaptureFixture[str]) -> None:
    with captured(descriptors_only=True) as talk:
        os.write(2, b"noise\n")
        handler = logging.StreamHandler(sys.stderr)
    assert talk.lines == ["noise"]
    handler.emit(logging.LogRecord("a", logging.WARNING, "", 0, "still here", None, None))
    assert capfd.readouterr().err == "still here\n"

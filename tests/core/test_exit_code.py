"""The name of what ended a process."""

from __future__ import annotations

import signal

from onnxpress.core.exit_code import ending


def test_an_ending_without_a_signals_name_is_its_number() -> None:
    assert ending(-signal.SIGKILL) == "SIGKILL"
    assert ending(3) == "3"

"""The table of families tells a refusal from a conversion that the machine ended."""

from __future__ import annotations

import signal

import pytest
from benchmarks.families import OUTCOMES, outcome

from onnxpress.core.errors import NotEquivalent
from onnxpress.export.child_process.parent import _death


@pytest.mark.parametrize(
    ("code", "said", "expected"),
    [
        (0, "", None),
        (1, f"error: {NotEquivalent('the export is refused, nothing was published')}", "refused"),
        (1, f"error: runs/news: {_death(-signal.SIGKILL)}", "killed"),
        (1, "error: runs/news: the conversion was ended at 2.1 GiB of memory; 2.0 GiB are allowed", "out of memory"),
        (-signal.SIGKILL, "", "killed"),
        (1, "error: runs/news: the conversion did not finish in 900 s and was ended (--time-limit)", "out of time"),
        (1, "error: runs/news: the converter crashed (SIGSEGV)", "failed"),
        (2, "error: no such file", "failed"),
    ],
)
def test_only_a_measured_difference_is_a_refusal(code: int, said: str, expected: str | None) -> None:
    assert outcome(code, said) == expected
    assert expected is None or expected in OUTCOMES

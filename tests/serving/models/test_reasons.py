"""Why a version is not served, in words for the log and for callers."""

from __future__ import annotations

import errno

import pytest

from onnxpress.core.errors import BadModel
from onnxpress.serving.models.reasons import for_callers, passes, told


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (BadModel("it is torn", where="/srv/models/iris/1"), "/srv/models/iris/1: it is torn"),
        (MemoryError(), "there is not enough memory for it"),
        (MemoryError("4 GB"), "there is not enough memory for it: 4 GB"),
        (OSError(errno.EIO, "Input/output error", "/srv/x"), "/srv/x: Input/output error"),
        (OSError("it is not a regular file"), "it is not a regular file"),
        (ValueError("a\nb\x1b[2J"), "ValueError: a\nb\\x1b[2J"),
    ],
)
def test_the_log_is_told_what_went_wrong(error: Exception, words: str) -> None:
    assert told(error) == words


def test_callers_see_no_path_and_no_endless_text() -> None:
    assert for_callers("/srv/models/iris/1: it is torn\n  hint: copy it") == "1: it is torn"
    assert for_callers(r"C:\models\iris\1: it is torn") == "1: it is torn"
    assert len(for_callers("x" * 10_000)) == 300


def test_what_the_machine_was_short_of_may_pass() -> None:
    assert passes(MemoryError())
    assert passes(OSError(errno.ENOSPC, "full"))
    assert not passes(OSError(errno.ENOENT, "gone"))
    assert not passes(BadModel("torn"))

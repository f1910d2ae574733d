"""What a copy of the server tries first: whose end is told, and by whom it is not held up."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from tests.serving.publishing import MODELS

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="a copy needs fork")

PROGRAM = """
import os, signal, sys, time
from pathlib import Path
from onnxpress.serving.models import trials

trials._SECONDS = 1.0

def plan(around):
    around(("good", 1), lambda: None)
    around(("trapped", 1), lambda: os.kill(os.getpid(), signal.SIGKILL))
    around(("left", 2), lambda: os._exit(3))
    around(("endless", 1), lambda: time.sleep(600))
    around(("last", 1), lambda: None)

ahead = trials.Trials(plan)
for key in [("good", 1), ("trapped", 1), ("left", 2), ("endless", 1), ("last", 1), ("good", 1), ("elsewhere", 1)]:
    print(*key, ahead.why_not(key, Path(sys.argv[1])))
ahead.close()
"""


def test_each_version_that_ends_or_holds_the_copy_is_told_and_the_others_pass() -> None:
    command = [sys.executable, "-c", PROGRAM, str(MODELS / "tiny.onnx")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "good 1 None",
        "trapped 1 it ended the process that tried it, with signal 9 (SIGKILL)",
        "left 2 it ended the process that tried it, with exit code 3",
        "endless 1 loading it takes more than 1 s",
        "last 1 None",
        "good 1 None",
        "elsewhere 1 None",
    ]


def test_where_no_copy_can_be_made_it_goes_on_without() -> None:
    program = PROGRAM.replace("ahead = ", "os.pipe = lambda: (_ for _ in ()).throw(OSError(24, 'too many'))\nahead = ")
    command = [sys.executable, "-c", program, "no such file"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.stderr, {line.split()[-1] for line in done.stdout.splitlines()}) == ("", {"None"})

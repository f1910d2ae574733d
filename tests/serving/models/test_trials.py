"""What a copy of the server tries first: whose end is told, and by whom it is not held up."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="a copy needs fork")

PROGRAM = """
import os, signal, time
from pathlib import Path
from onnxpress.serving.models import trials

trials._SECONDS = 1.0

def plan(around):
    around(Path("good"), lambda: None)
    around(Path("trapped"), lambda: os.kill(os.getpid(), signal.SIGKILL))
    around(Path("left"), lambda: os._exit(3))
    around(Path("endless"), lambda: time.sleep(600))
    around(Path("last"), lambda: None)

ahead = trials.Trials(plan)
BEGIN
for name in ["good", "trapped", "left", "trapped", "endless", "last", "good", "elsewhere"]:
    print(name, ahead.why_not(Path(name)))
ahead.close()
"""


@pytest.mark.parametrize("begin", ["ahead.begin()", ""])
def test_each_version_that_ends_or_holds_the_copy_is_told_and_the_others_pass(begin: str) -> None:
    command = [sys.executable, "-c", PROGRAM.replace("BEGIN", begin)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "good None",
        "trapped it ended the process that tried it, with signal 9 (SIGKILL)",
        "left it ended the process that tried it, with exit code 3",
        "trapped it ended the process that tried it, with signal 9 (SIGKILL)",
        "endless loading it takes more than 1 s",
        "last None",
        "good None",
        "elsewhere None",
    ]


def test_where_no_copy_can_be_made_it_goes_on_without() -> None:
    program = PROGRAM.replace("BEGIN", "ahead.begin()").replace(
        "ahead = ", "os.pipe = lambda: (_ for _ in ()).throw(OSError(24, 'too many'))\nahead = "
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.stderr, {line.split()[-1] for line in done.stdout.splitlines()}) == ("", {"None"})

"""Who has how many connections, as all workers see it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from onnxpress.serving.loads import Loads


def test_who_has_more_than_another_has_enough() -> None:
    loads = Loads(3)
    one, other = loads.share(0), loads.share(1)
    one.put(5)
    assert not one.has_enough  # nobody else accepts
    other.put(5)
    assert not one.has_enough
    other.put(4)
    assert one.has_enough
    assert not other.has_enough
    one.put(104)
    other.put(100)
    assert not one.has_enough  # of so many that is nothing
    one.put(120)
    assert one.has_enough
    other.leave()
    other.put(1)  # the last connections of one that leaves
    assert not one.has_enough


def test_places_are_given_again_and_the_last_is_shared() -> None:
    loads = Loads(2)
    assert [loads.take(), loads.take(), loads.take()] == [0, 1, 1]
    loads.share(0).put(3)
    loads.share(1).put(9)
    assert loads.share(1).has_enough
    loads.give_back(0)
    assert not loads.share(1).has_enough  # what a killed worker had counts no more
    assert loads.take() == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="workers need fork")
def test_it_is_the_same_memory_in_every_process() -> None:
    program = """
import os
import subprocess
import sys
from onnxpress.serving.loads import Loads
loads = Loads(2)
mine = loads.share(0)
mine.put(1)
pid = os.fork()
if pid == 0:
    loads.share(1).put(7)
    os._exit(0)
os.waitpid(pid, 0)
before = mine.has_enough
mine.put(9)
print(before, mine.has_enough)
"""  # in a process without the threads of the tests, whose locks the copy would find held
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("False True\n", "")

"""`onnxpress serve` whose first worker gets SIGTERM before it can say what it does with one: `python ... serve`."""

from __future__ import annotations

import os
import signal

# As the server does it, but before numpy is imported here.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from onnxpress.core.cli import main

_born: list[int] = []


def _end_the_first() -> None:
    if len(_born) == 1:
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    os.register_at_fork(before=lambda: _born.append(os.getpid()), after_in_child=_end_the_first)
    main()

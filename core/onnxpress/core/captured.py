"""Keeping other people's talk off stdout and stderr, down to the file descriptors that C++ libraries write to."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Talk:
    """What was printed meanwhile, line by line; filled when the block ends."""

    lines: list[str] = field(default_factory=list)

    def tail(self, count: int = 12) -> str:
        """The last lines, for an error message."""
        return "\n".join(self.lines[-count:])


@contextlib.contextmanager
def captured(*, descriptors_only: bool = False) -> Iterator[Talk]:
    """Collect everything that this process writes to stdout and stderr in the block.

    `descriptors_only` leaves the objects sys.stdout and sys.stderr in their place: for an import, because the loggers
    that a library makes then keep the stream they find, and would write to a closed one ever after.
    """
    talk = Talk()
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [(number, os.dup(number)) for number in (1, 2)]
    with tempfile.TemporaryFile() as file:
        stream = io.TextIOWrapper(os.fdopen(os.dup(file.fileno()), "wb"), errors="replace", write_through=True)
        try:
            for number, _ in kept:
                os.dup2(file.fileno(), number)
            with contextlib.ExitStack() as redirections:
                if not descriptors_only:
                    redirections.enter_context(contextlib.redirect_stdout(stream))
                    redirections.enter_context(contextlib.redirect_stderr(stream))
                yield talk
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, copy in kept:
                os.dup2(copy, number)
                os.close(copy)
            stream.close()
            file.seek(0)
            text = file.read().decode(errors="replace")
            talk.lines = [line for line in text.splitlines() if line.strip()]

"""When things happened to a request, as marks that are set on its way: for the histograms, and for its trace.

All times are those of `time.perf_counter`, in seconds.
"""

from __future__ import annotations

import re
from typing import Final

_TRACEPARENT: Final = rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
"""compiled when the first one comes: a start does not wait for it"""


class RunTimes:
    """One run of a model; the requests that share a run have the same.

    It `began` with the arrays being made, they were `fed` to the model, it `ran`, and the answers were `written`.
    `failed` until an answer is. Of its `requests` so many are `traced`. It is of a `version` of a `model`.
    """

    __slots__ = ("began", "failed", "fed", "model", "ran", "requests", "traced", "version", "written")

    def __init__(self, model: str, version: int, requests: int, began: float) -> None:
        self.model, self.version, self.requests, self.began = model, version, requests, began
        self.fed = self.ran = self.written = began
        self.failed = True
        self.traced = 0


class Trace:
    """A request whose trace is kept by somebody: its trace's id in hexadecimal, and what was timed of it.

    Its body was here when it `came`, and `reading` it took so many seconds. `run` is None before it runs.
    """

    __slots__ = ("came", "id", "reading", "run")

    def __init__(self, id: str) -> None:  # noqa: A002 - the field's word
        self.id = id
        self.came = self.reading = 0.0
        self.run: RunTimes | None = None


def parsed(traceparent: bytes) -> tuple[str, str, int] | None:
    """The trace's id, the id of the caller's span, and the flags; None where it is no traceparent.

    W3C Trace Context, level 1: a later version is read as far as it is alike.

    >>> parsed(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    ('0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203331', 1)
    """
    found = re.fullmatch(_TRACEPARENT, traceparent, re.DOTALL)
    if found is None:
        return None
    version, trace, span, flags, more = found.groups()
    if version == b"00" and more is not None:
        return None
    return trace.decode(), span.decode(), int(flags, 16)


def trace_of(traceparent: bytes) -> Trace | None:
    """What is timed for a caller who keeps this trace; None where nobody does."""
    found = parsed(traceparent)
    return Trace(found[0]) if found is not None and found[2] & 1 else None

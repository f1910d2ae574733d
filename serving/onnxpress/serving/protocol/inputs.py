"""What a request asks, once it is read: the inputs of one caller, and how the answer is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.serving.exchange import Headers
from onnxpress.serving.timing import RunTimes, Trace


class Form(Protocol):
    """How a request wants its answer, where that is not V2 JSON."""

    def write(self, writer: Any, inputs: Inputs, answers: Sequence[Array]) -> tuple[bytes, Headers]:
        """The body, from this request's rows of every output, and what its headers say besides."""


class Inputs:
    """The inputs of one request, in the model's order: flat values, with the shapes they are to take.

    The values are lists, the text of one where the request was only cut, or arrays where it came with binary tensors,
    or their bytes still, as a memoryview. The text has as many commas as `size` wants, but may be no numbers:
    `Reader.feeds` finds out. Two requests can share a run when their `tails` (the shapes but for the first axis) are
    equal and not None; they differ where values or forms do in kind. `rows` is the size of the first axis, `size` the
    number of values in all inputs, `outputs` the numbers of those asked for (None: all). `timeout`: how many seconds
    the caller gives it to begin to run. `overrides`: initializers that this request gives another value; such a request
    shares its run with no other.

    Its body was here when it `came`, by time.perf_counter, and `reading` it took so many seconds. `run` is the one that
    it had part in last, `trace` what is timed for a caller who keeps a trace.
    """

    __slots__ = (
        "came", "form", "id", "outputs", "overrides", "reading", "rows", "run", "shapes", "size", "tails", "timeout",
        "trace", "values",
    )  # fmt: skip

    def __init__(
        self,
        values: list[Any],
        shapes: list[list[int]],
        rows: int,
        size: int,
        tails: tuple[tuple[int, ...], ...] | None,
        id: str | None,  # noqa: A002 - the protocol's word
        outputs: list[int] | None,
        form: Form | None = None,
    ) -> None:
        self.values, self.shapes, self.rows, self.size = values, shapes, rows, size
        self.tails, self.id, self.outputs, self.form = tails, id, outputs, form
        self.timeout: float | None = None
        self.overrides: dict[str, Array] | None = None
        self.came = self.reading = 0.0
        self.run: RunTimes | None = None
        self.trace: Trace | None = None


_TEXT = 64
"""bytes of a short text as an object"""


def held_by(values: Sequence[Any]) -> int:
    """Bytes that values take which were read to arrays; those of lists and texts are not told."""
    size = 0
    for value in values:
        if isinstance(value, np.ndarray):
            size += value.nbytes + (_TEXT * value.size if value.dtype.kind == "O" else 0)
    return size

"""Batches padded to few sizes, where a size that was not seen before is dear.

cuDNN chooses the kernel of a convolution anew for every shape: 25 to 95 ms for each number of rows, measured on an
H200, which every caller of that batch waits for. A CUDA graph is captured for one shape, and costs as much. So batches
run in one of few sizes, each of which is run once before anybody asks. The rows behind the last repeat it, and their
answers are cut off. That is sound where a row's answer does not depend on the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from onnxpress.core.arrays import Array

MAX_ROWS = 256
"""batches of more rows run as they come: there the search costs little beside the run"""


def padded(rows: int) -> int:
    """The size that so many rows run in: the next of 1, 2, 3, 4, 6, 8, 12, 16 ... At most half more than asked.

    >>> [padded(rows) for rows in (1, 3, 5, 9, 33)]
    [1, 3, 6, 12, 48]
    """
    power = 1 << (rows - 1).bit_length()
    between = power * 3 // 4
    return between if rows <= between and power > 2 else power


def sizes(most: int) -> list[int]:
    """Every size that batches of up to so many rows run in.

    >>> sizes(7)
    [1, 2, 3, 4, 6, 8]
    """
    return sorted({padded(rows) for rows in range(1, most + 1)})


def searches(operators: Sequence[str]) -> bool:
    """Whether a graph of these operators is dear to run in a new size: Conv, ConvTranspose, and what they are fused to.

    >>> searches(["NhwcFusedConv", "Gemm"]), searches(["Gemm"])
    (True, False)
    """
    return any("Conv" in operator for operator in operators)


def obstacle(session: Any) -> str:
    """Why this session's batches cannot be padded; empty where they can: all inputs and outputs share an open batch."""
    values = [*session.get_inputs(), *session.get_outputs()]
    for value in values:
        if not value.shape or isinstance(value.shape[0], int):
            return f"{value.name!r} has no open first dimension"
    return "" if len({value.shape[0] for value in values}) == 1 else "inputs and outputs do not share a first dimension"


class PaddedRuns:
    """What stands for a session's run: batches of up to `max_rows` padded, all else as it comes."""

    def __init__(self, run: Callable[..., list[Array]], max_rows: int = MAX_ROWS) -> None:
        self._run, self._max_rows = run, max_rows

    def run(self, names: list[str], feeds: Mapping[str, Array], options: object = None) -> list[Array]:
        """Like InferenceSession.run."""
        counts = {len(value) for value in feeds.values()}
        count = counts.pop()
        size = padded(count) if not counts and 0 < count <= self._max_rows else count
        if size == count:
            return self._run(names, dict(feeds), options)
        more = {name: _with_last_repeated(value, size) for name, value in feeds.items()}
        return [answer[:count] for answer in self._run(names, more, options)]


def _with_last_repeated(value: Array, size: int) -> Array:
    # A row of somebody's, not zeros: whatever the graph does with it, it does already.
    rows = np.empty((size, *value.shape[1:]), value.dtype)
    rows[: len(value)] = value
    rows[len(value) :] = value[-1]
    return rows

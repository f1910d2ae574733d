"""The parent and a derived version timed in turns: what the machine does besides meets both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping

from onnxpress.core.arrays import Array
from onnxpress.export.derive.figures import Timing
from onnxpress.serving.engine import Engine

_SECONDS = 1.0
_LEAST, _MOST = 11, 2000
"""pairs of runs"""


def timed(parent: Engine, derived: Engine, feeds: Mapping[str, Array], *, seconds: float = _SECONDS) -> Timing:
    """Both on the same feeds, one run after the other, for about so many seconds.

    Of each the quickest tenth counts: what another process holds up is in the others. The turns change, so that
    neither always runs in the wake of the other's threads.
    """
    for engine in (parent, derived):  # the first run prepares the runtime
        engine.run(feeds)
        engine.run(feeds)
    before: list[float] = []
    after: list[float] = []
    ends = time.perf_counter() + seconds
    while len(before) < _LEAST or (time.perf_counter() < ends and len(before) < _MOST):
        order = ((parent, before), (derived, after))
        for engine, took in order if len(before) % 2 else order[::-1]:
            started = time.perf_counter()
            engine.run(feeds)
            took.append(time.perf_counter() - started)
    return Timing(
        parent_s=statistics.median(before),
        derived_s=statistics.median(after),
        quicker=_tenth(before) / _tenth(after),
    )


def _tenth(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=10, method="inclusive")[0]


def at_batches(
    parent: Engine, derived: Engine, rows: Mapping[str, Array], batches: list[int], *, seconds: float = _SECONDS
) -> dict[int, Timing]:
    """Rows in a batch → both timed. Rows are repeated where there are fewer than a batch has."""
    found = {}
    for batch in batches:
        feeds = {name: value.take(range(batch), axis=0, mode="wrap") for name, value in rows.items()}
        found[batch] = timed(parent, derived, feeds, seconds=seconds)
    return found

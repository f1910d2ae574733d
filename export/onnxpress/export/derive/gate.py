"""The gate: what a candidate must hold before it is published."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping

import msgspec

from onnxpress.core.errors import UsageError
from onnxpress.export.derive.figures import OutputJudged, Timing
from onnxpress.export.derive.proportion import rows_needed
from onnxpress.export.derive.resampling import Metric

_SLOWER = 0.95
"""where quickness is asked for, no batch may be slower than this"""


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """Limits; shares are 0 to 1. A speed or size of None is not asked for."""

    max_flips: float = 0.005
    """of the decisions; held by the bound, not by what was seen"""
    max_neighbours: float = 0.05
    """of the nearest neighbours of embeddings; held by the bound too"""
    max_error: float = 0.05
    """of a regression, in units of the parent's own error or spread"""
    max_drop: dict[str, float] = {}
    """metric → by how much it may be worse; held by the bound of its interval"""
    min_speedup: float | None = None
    min_smaller: float | None = None
    either: bool = False
    """whether one of the two is enough"""

    def quality(self, outputs: list[OutputJudged], metrics: list[Metric], rows: int) -> list[str]:
        """What the answers fail; empty where they pass."""
        return [*self._outputs(outputs, rows), *self._metrics(metrics)]

    def limit_of(self, one: OutputJudged) -> float:
        """The share that is accepted of what the output is judged by."""
        if one.kind == "regression":
            return self.max_error
        return self.max_neighbours if one.kind == "embedding" else self.max_flips

    def _outputs(self, outputs: list[OutputJudged], rows: int) -> Iterator[str]:
        for one in outputs:
            if one.not_finite:
                yield f"{one.name}: {one.not_finite:,} numbers are no longer finite"
            limit = self.limit_of(one)
            if one.kind == "regression":
                error = one.error if one.error is not None else math.inf
                if not error <= limit:
                    yield f"{one.name}: off by {error:.2g} of {one.unit}, {limit:.2g} is accepted"
            elif one.decisions and not (one.bound or 0.0) <= limit:
                yield f"{one.name}: {_flipped(one, limit, rows)}"

    def _metrics(self, metrics: list[Metric]) -> Iterator[str]:
        known = {metric.name for metric in metrics}
        for name, limit in self.max_drop.items():
            if name not in known:
                raise UsageError(
                    f"--max-drop {name}: it was not measured; measured were {', '.join(sorted(known)) or 'none'}",
                    hint="metrics need --labels: accuracy of decisions, error of regressions",
                )
            for metric in metrics:
                if metric.name == name and not metric.high <= limit:
                    yield (
                        f"{name} of {metric.output}: worse by {metric.loss:.3g}, up to {metric.high:.3g}; "
                        f"{limit:.3g} is accepted"
                    )

    def gain(self, smaller: float, timings: Mapping[int, Timing]) -> list[str]:
        """What size and speed fail. Where both are asked for, both must hold, or one of them with `either`."""
        size, speed, slow = list[str](), list[str](), list[str]()
        if self.min_smaller is not None and smaller < self.min_smaller:
            size.append(f"{smaller:.2f} times smaller, {self.min_smaller:g} is asked for")
        if self.min_speedup is not None:
            ratios = {batch: timing.quicker for batch, timing in timings.items()}
            shown = ", ".join(f"{ratio:.2f} at {batch}" for batch, ratio in ratios.items())
            if max(ratios.values(), default=0.0) < self.min_speedup:
                speed.append(f"not quicker here: {shown} times; {self.min_speedup:g} is asked for")
            if min(ratios.values(), default=0.0) < min(_SLOWER, self.min_speedup):
                slow.append(f"slower in some batches: {shown} times")
        if self.either and not (size and speed):
            return slow
        return [*size, *(speed or slow)]


def _flipped(one: OutputJudged, limit: float, rows: int) -> str:
    seen = f"{one.flips:,} of {one.decisions:,} differ, so up to {100 * (one.bound or 0):.2g} % may"
    accepted = f"{100 * limit:.2g} % is accepted"
    needed = rows_needed(one.flips, one.decisions, limit)
    if needed is None or needed <= rows:
        return f"{seen}; {accepted}"
    return f"{seen}; {accepted}; if it stays at what was seen, {needed:,} rows would prove it (there are {rows:,})"


def share(text: str) -> float:
    """A share as people write it: `0.5%` or `0.005`. Raises UsageError for anything else."""
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*(%?)\s*", text)
    value = float(match[1]) / (100 if match[2] else 1) if match else -1.0
    if not 0 <= value < 1:
        raise UsageError(f"{text!r} is no share", hint="write 0.5% or 0.005")
    return value


def default_gain(precision: str) -> tuple[float | None, float | None]:
    """(quicker, smaller) that is asked of a precision where nobody says otherwise; of `same` either is enough."""
    return {
        "int8": (1.15, None),
        "float16": (0.5, 1.8),
        "bfloat16": (0.5, 1.8),
        "w8": (0.5, 2.0),
        "w4": (0.5, 2.0),
    }.get(precision, (1.05, 1.05))

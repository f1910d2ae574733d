"""A run's figures for a terminal: a table of plain numbers, one of the classes, and what should make one doubt them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from onnxpress.training.pipeline import figures

_DIGITS = 4
_MOST_CLASSES = 20


def text(metrics: Mapping[str, float], *, confusion: Mapping[str, Any] | None, warnings: Sequence[str]) -> str:
    """The lines of all of it. `confusion` is as `confusion.json` holds it."""
    width = max(map(len, metrics), default=0)
    numbers = {name: plain(value) for name, value in metrics.items()}
    most = max(map(len, numbers.values()), default=0)
    lines = [f"  {name:{width}}  {number:>{most}}" for name, number in numbers.items()]
    by_class = figures.classes(confusion)
    if by_class:
        shown = by_class[:_MOST_CLASSES]
        width = max(5, *(len(one.label) for one in shown))
        lines += ["", f"  {'label':{width}}    rows  precision  recall     F1"]
        lines += [
            f"  {one.label:{width}}  {one.rows:6,}  {one.precision:9.3f}  {one.recall:6.3f}  {one.f1:5.3f}"
            for one in shown
        ]
        if len(by_class) > len(shown):
            lines.append(f"  and {len(by_class) - len(shown)} more in run.html")
    return "\n".join([*lines, *(f"  note: {sentence}" for sentence in warnings)])


def plain(value: float) -> str:
    """A number with four digits that tell, without an exponent.

    >>> [plain(value) for value in (2827, 0.98837, 123.456, 0.00001234, 0.0)]
    ['2,827', '0.9884', '123.5', '0.00001234', '0']
    """
    if not math.isfinite(value) or float(value).is_integer():
        return f"{value:,.0f}"
    places = _DIGITS - 1 - math.floor(math.log10(abs(value)))
    return f"{value:,.{max(0, min(places, 12))}f}"

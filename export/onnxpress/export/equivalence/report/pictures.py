"""The drawings of the report's page, as SVG: the divergence along the graph, and the distribution of an output."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

from onnxpress.export.equivalence.report.schema import EDGES, Point, multiple

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 720, 220, 52, 26
_LEAST, _MOST = 1e-3, 1e9
"""noise floors: beyond these a curve's axis does not go"""
_MARKS = 6
"""lines of a curve's axis, about"""
_BAR, _BARS_HEIGHT = 26, 46


def curve(points: Sequence[Point]) -> Iterable[str]:
    """Every tensor that a layer is known to compute, in the order of the graph; the axis is logarithmic.

    It goes from the power of ten below the smallest to the one above the largest, and holds one floor always.
    """
    last = max(point.node for point in points) or 1
    held = [min(max(point.multiple, _LEAST), _MOST) for point in points if point.multiple > 0] or [1.0]
    low = min(math.floor(math.log10(min(held))), 0)
    high = max(math.ceil(math.log10(max(held))), low + 1, 1)
    every = math.ceil((high - low) / _MARKS)
    marks = [10.0**power for power in range(low, high + 1) if power % every == 0]

    def x(node: int) -> float:
        return _LEFT + (_WIDTH - _LEFT - 8) * node / last

    def y(value: float) -> float:
        power = math.log10(value) if value > 0 else low
        return 8 + (_HEIGHT - _BOTTOM - 8) * (1 - (min(max(power, low), high) - low) / (high - low))

    yield f'<svg class="curve" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="divergence along the graph">'
    for mark in marks:
        kind = ' class="one"' if mark == 1 else ""
        yield f'<line{kind} x1="{_LEFT}" x2="{_WIDTH - 8}" y1="{y(mark):.1f}" y2="{y(mark):.1f}"/>'
        yield f'<text x="{_LEFT - 6}" y="{y(mark) + 4:.1f}" text-anchor="end">{_short(mark)}</text>'
    yield f'<text x="{_LEFT}" y="{_HEIGHT - 6}">first node</text>'
    yield f'<text x="{_WIDTH - 8}" y="{_HEIGHT - 6}" text-anchor="end">last node</text>'
    for point in points:
        state = "over" if point.multiple > 1 else "under"
        told = f"{point.layer or 'the model itself'}, {point.operator}: {multiple(point.multiple)} floors"
        yield f'<circle class="{state}" cx="{x(point.node):.1f}" cy="{y(point.multiple):.1f}" r="3">'
        yield f"<title>{escape(told)}</title></circle>"
    yield "</svg>"


def distribution(counts: Sequence[int]) -> Iterable[str]:
    """One bar for each range of multiples; heights follow the logarithm of the count, so that one element is seen."""
    most = math.log1p(max(counts, default=0)) or 1.0
    width = _BAR * len(counts)
    yield f'<svg class="bars" viewBox="0 0 {width} {_BARS_HEIGHT + 16}" style="width:{width}px" role="img" '
    yield 'aria-label="elements by their distance">'
    bounds = [0.0, *EDGES, math.inf]
    for place, count in enumerate(counts):
        tall = max(_BARS_HEIGHT * math.log1p(count) / most, 1.0 if count else 0.0)
        state = "over" if bounds[place] >= 10 else "under"
        told = f"{count:,} elements between {_short(bounds[place])} and {_short(bounds[place + 1])} floors"
        yield f'<rect class="{state}" x="{_BAR * place + 2}" y="{_BARS_HEIGHT - tall:.1f}" width="{_BAR - 4}" '
        yield f'height="{tall:.1f}"><title>{escape(told)}</title></rect>'
        if place + 1 < len(counts):
            yield f'<text x="{_BAR * (place + 1)}" y="{_BARS_HEIGHT + 12}" text-anchor="middle">'
            yield f"{_short(bounds[place + 1])}</text>"
    yield "</svg>"


def _short(value: float) -> str:
    if math.isinf(value):
        return "∞"
    return f"{value:g}" if 1e-3 < value < 1e3 else f"1e{round(math.log10(value))}" if value else "0"

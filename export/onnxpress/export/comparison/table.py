"""A comparison as text: a line for each figure, a column for each contender, ratios to the first beside them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from onnxpress.export.comparison.figures import Comparison, Contender, Timed

_Row = tuple[str, list[float | None], Callable[[float], str]]


def table(comparison: Comparison) -> str:
    """Lines of text, and below them why figures are missing."""
    titles = [title(contender) for contender in comparison.contenders]
    rows = list(_rows(comparison))
    cells = [[name, *_with_ratios(values, shown)] for name, values, shown in rows]
    widths = [max(len(line[column]) for line in [["", *titles], *cells]) for column in range(len(titles) + 1)]
    lines = [_line(["", *titles], widths), *(_line(line, widths) for line in cells)]
    return "\n".join([*lines, *_missing(comparison)])


def title(contender: Contender) -> str:
    """`nets:build (pytorch)`."""
    return f"{contender.name} ({contender.framework})" if contender.framework else contender.name


def ratios(comparison: Comparison) -> list[dict[str, float]]:
    """Of each contender: figure → how many times the first one's it is, where both have it."""
    found: list[dict[str, float]] = [{} for _ in comparison.contenders]
    for name, values, _ in _rows(comparison):
        for place, value in enumerate(values):
            if values[0] and value is not None:
                found[place][name] = value / values[0]
    return found


def _rows(comparison: Comparison) -> Iterator[_Row]:
    those = comparison.contenders
    yield "parameters", [_float(one.parameters) for one in those], _count
    yield "import", [one.import_seconds for one in those], _seconds
    yield "import ONNX Runtime", [one.runtime_import_seconds for one in those], _seconds
    if any(one.training for one in those):
        yield (
            "training, an epoch",
            [one.training.seconds_per_epoch if one.training else None for one in those],
            _seconds,
        )
        yield "training, memory", [_float(one.training.peak_memory) if one.training else None for one in those], _bytes
        names = dict.fromkeys(name for one in those if one.training for name in one.training.metrics)
        for name in names:
            yield (
                name.replace("_", " "),
                [one.training.metrics.get(name) if one.training else None for one in those],
                _number,
            )
    told: Sequence[tuple[str, Callable[[Contender], dict[str, float]]]] = (
        ("", lambda one: one.metrics),
        (", ONNX Runtime", lambda one: one.runtime_metrics),
    )
    for place, figures in told:
        for name in dict.fromkeys(name for one in those for name in figures(one)):
            yield f"{name.replace('_', ' ')} on --data{place}", [figures(one).get(name) for one in those], _number
    ways: Sequence[tuple[str, Callable[[Contender], Timed]]] = (
        ("framework", lambda one: one.eager),
        ("compiled", lambda one: one.compiled),
        ("ONNX Runtime", lambda one: one.runtime),
    )
    for name, way in ways:
        for batch in comparison.batches:
            yield f"{name}, batch {batch}", [way(one).seconds.get(batch) for one in those], _seconds
    yield "compiling", [one.compiled.first for one in those], _seconds
    yield "framework, memory", [_float(one.peak_memory) for one in those], _bytes
    yield "ONNX Runtime, memory", [_float(one.runtime_memory) for one in those], _bytes
    yield "noise floors", [one.multiple for one in those], _number


def _with_ratios(values: Sequence[float | None], shown: Callable[[float], str]) -> Iterator[str]:
    first = values[0]
    for value in values:
        if value is None:
            yield "-"
        elif not first:
            yield shown(value)
        else:
            yield f"{shown(value)} ({times(value / first)})"


def times(ratio: float) -> str:
    """`0.00037x`, `1.00x`, `553x`: three digits that say something."""
    if not ratio:
        return "0x"
    places = max(0, 2 - math.floor(math.log10(abs(ratio))))
    return f"{ratio:,.{places}f}x"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    name, *values = cells
    return "  ".join(
        [name.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(values, widths[1:], strict=True))]
    )


def _missing(comparison: Comparison) -> Iterator[str]:
    for one in comparison.contenders:
        for what, why in (
            ("", one.failed),
            ("framework: ", one.eager.failed),
            ("compiled: ", one.compiled.failed),
            ("ONNX Runtime: ", one.runtime.failed),
        ):
            if why:
                yield f"{title(one)}: {what}{why}"


def _float(value: int | None) -> float | None:
    return None if value is None else float(value)


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _number(value: float) -> str:
    return f"{value:.4g}"


def _bytes(value: float) -> str:
    return f"{value / 1e6:,.0f} MB"


def _seconds(value: float) -> str:
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if value * factor >= 1:
            return f"{value * factor:.3g} {unit}"
    return f"{value * 1e6:.3g} us"

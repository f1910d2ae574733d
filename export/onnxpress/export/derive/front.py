"""The front as a picture: how much smaller and quicker each candidate is, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from onnxpress.core.optional import require
from onnxpress.export.derive.figures import OutputJudged, Tried
from onnxpress.export.derive.gate import Gate

_INSIDE, _OUTSIDE, _GATE = "#3d8f5f", "#d1495b", "#e3f1e8"


def draw(everything: Sequence[Tried], path: Path, *, title: str, gate: Gate) -> None:
    """Write a PNG or SVG, by the name of the file. Raises MissingExtra without matplotlib."""
    require("matplotlib", needed_by="the picture of the front").use("Agg")
    from matplotlib.figure import Figure

    shown = [one for one in everything if one.timings and one.outputs]
    limits = {100 * gate.limit_of(output) for one in shown for output in one.outputs}
    limit = limits.pop() if len(limits) == 1 else None  # outputs of several kinds have no common one
    figure = Figure(figsize=(9.5, 5.5), layout="constrained", dpi=120)
    left, right = figure.subplots(1, 2)
    for axes, gained, least in ((left, _quicker, gate.min_speedup), (right, _smaller, gate.min_smaller)):
        places: dict[tuple[float, float], list[int]] = {}
        for number, one in enumerate(shown, 1):
            x, y = gained(one), 100 * max(map(cost_of, one.outputs))
            axes.scatter([x], [y], color=_INSIDE if one.inside else _OUTSIDE, s=40, zorder=3)
            places.setdefault((round(x, 1), round(y, 2)), []).append(number)
        for (x, y), numbers in places.items():  # of points that lie together one text, not one over the other
            told = ", ".join(map(str, numbers))
            axes.annotate(told, (x, y), textcoords="offset points", xytext=(-4, 7), fontsize=9)
        axes.margins(0.12)
        axes.axvline(1, color="#999999", linewidth=0.8, linestyle="--")
        bottom, top = 0, max(axes.get_ylim()[1], 0.1, 1.15 * (limit or 0))
        start, end = axes.get_xlim()[0], max(axes.get_xlim()[1], 1.1 * (least or 0))
        if limit is not None:
            inner = start if least is None else least
            axes.fill_between([inner, end], bottom, limit, color=_GATE, zorder=0)
            place = {"textcoords": "offset points", "xytext": (4, 5)}
            axes.annotate("inside the gate", (inner, bottom), color=_INSIDE, fontsize=8, **place)
        axes.set(xlim=(start, end), ylim=(bottom, top))
        axes.grid(color="#dddddd", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    left.set(xlabel="times quicker than its parent, at the better batch", ylabel="% that may differ (95 % confidence)")
    right.set(xlabel="times smaller than its parent")
    figure.suptitle(f"{title}: lower differs less, further right gains more", x=0.01, ha="left", fontsize=11)
    legend = "\n".join(
        f"{number}  {one.method}{'' if one.inside else '  (refused)'}" for number, one in enumerate(shown, 1)
    )
    figure.supxlabel(legend, x=0.01, ha="left", fontsize=8)
    figure.savefig(path)


def _quicker(one: Tried) -> float:
    return max(timing.quicker for timing in one.timings.values())


def _smaller(one: Tried) -> float:
    return one.smaller


def cost_of(one: OutputJudged) -> float:
    """A share: the bound of what differs, or a regression's error."""
    return one.error if one.error is not None else one.bound or 0.0

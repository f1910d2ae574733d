"""The front as a picture: how much smaller and quicker each candidate is, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from onnxpress.core.optional import require
from onnxpress.export.derive.figures import OutputJudged, Tried

_INSIDE, _OUTSIDE = "#3d8f5f", "#d1495b"


def draw(everything: Sequence[Tried], path: Path, *, title: str) -> None:
    """Write a PNG or SVG, by the name of the file. Raises MissingExtra without matplotlib."""
    require("matplotlib", needed_by="the picture of the front").use("Agg")
    from matplotlib.figure import Figure

    shown = [one for one in everything if one.timings and one.outputs]
    figure = Figure(figsize=(9.5, 5.5), layout="constrained", dpi=120)
    left, right = figure.subplots(1, 2)
    for axes, gained in ((left, _quicker), (right, _smaller)):
        places: dict[tuple[float, float], list[int]] = {}
        for number, one in enumerate(shown, 1):
            x, y = gained(one), 100 * max(map(cost_of, one.outputs))
            axes.scatter([x], [y], color=_INSIDE if one.inside else _OUTSIDE, s=40, zorder=3)
            places.setdefault((round(x, 1), round(y, 2)), []).append(number)
        for (x, y), numbers in places.items():  # of points that lie together one text, not one over the other
            told = ", ".join(map(str, numbers))
            axes.annotate(told, (x, y), textcoords="offset points", xytext=(-4, 7), fontsize=9)
        axes.margins(0.12)
    for axes, label in ((left, "times quicker, at the better batch"), (right, "times smaller")):
        axes.axvline(1, color="#999999", linewidth=0.8, linestyle="--")
        axes.set(xlabel=label, ylabel="% that differs, at most (95 %)")
        axes.set_ylim(bottom=0, top=max(axes.get_ylim()[1], 0.1))
        axes.grid(color="#dddddd", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
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

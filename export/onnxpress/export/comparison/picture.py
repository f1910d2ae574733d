"""A comparison as a picture: rows a second by batch size, for every contender and way to ask."""

from __future__ import annotations

from pathlib import Path

from onnxpress.core.optional import require
from onnxpress.export.comparison.figures import Comparison, Timed
from onnxpress.export.comparison.table import times, title

_COLORS = ("#2a78b5", "#d1495b", "#e0a100", "#3d8f5f", "#8757a8", "#7f5539")
_DASHES = {"framework": ":", "compiled": "--", "ONNX Runtime": "-"}


def draw(comparison: Comparison, path: Path) -> None:
    """Write a PNG. Raises MissingExtra without matplotlib."""
    require("matplotlib", needed_by="the picture of a comparison").use("Agg")
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

    figure = Figure(figsize=(9.5, 5), layout="constrained", dpi=120)
    axes = figure.subplots()
    for number, one in enumerate(comparison.contenders):
        ways: dict[str, Timed] = {"framework": one.eager, "compiled": one.compiled, "ONNX Runtime": one.runtime}
        for name, way in ways.items():
            if way.seconds:
                axes.plot(
                    list(way.seconds),
                    [batch / seconds for batch, seconds in way.seconds.items()],
                    color=_COLORS[number % len(_COLORS)],
                    linestyle=_DASHES[name],
                    marker="o",
                    label=f"{title(one)}, {name}{_ratio(comparison, way)}",
                )
    axes.set(xscale="log", yscale="log", xlabel="rows in a batch", ylabel="rows per second")
    axes.xaxis.set_major_locator(FixedLocator(comparison.batches))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.grid(color="#dddddd", linewidth=0.6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_title("times: rows per second at the largest batch against the first", fontsize=9, loc="left")
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=9, handlelength=4)
    figure.savefig(path)


def _ratio(comparison: Comparison, way: Timed) -> str:
    """At the largest batch against the first contender in its framework; empty where one of them was not measured."""
    first, batch = comparison.contenders[0].eager.seconds, max(comparison.batches)
    if batch not in way.seconds or batch not in first:
        return ""
    return f": {times(first[batch] / way.seconds[batch])}"

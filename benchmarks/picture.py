"""A record as a picture: time to begin, and one run in the framework and in the engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ENGINE, _OTHER = "#2a78b5", "#b9c4cc"


def draw(record: dict[str, Any], path: Path) -> None:
    """Write the picture of a record to `path`."""
    bars(record).savefig(path)


def bars(record: dict[str, Any]) -> Figure:
    """Two rows of bars. Every bar carries its figure, inside the picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 5.6), dpi=120, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1)
    above, below = figure.subplots(2, 1, height_ratios=[5, 5])
    start = record["start"]
    names = list(start)[::-1]
    values = [start[name]["median_s"] for name in names]
    drawn = above.barh(names, values, color=[_ENGINE if "onnxpress" in name else _OTHER for name in names])
    above.bar_label(
        drawn, [f"{start[name]['median_s']:.2f} s  ({start[name]['ratio']:.1f}×)" for name in names], padding=4
    )
    above.set_title("Time to begin, and its ratio to importing onnxruntime", loc="left", fontsize=11)
    above.set_xlabel("seconds, median of 10")
    runs = record["in_process"]
    labels, places, heights, colours = [], [], [], []
    for number, (name, figures) in enumerate(reversed(runs.items())):
        for offset, (who, key, colour) in enumerate(
            (("engine", "engine_us", _ENGINE), ("framework", "framework_us", _OTHER))
        ):
            labels.append(f"{name}: {who}")
            places.append(number * 2.6 + 1 - offset)
            heights.append(figures[key])
            colours.append(colour)
    drawn = below.barh(places, heights, color=colours)
    below.bar_label(drawn, [f"{height:.0f} µs" for height in heights], padding=4)
    below.set_yticks(places, labels)
    below.set_title("One run of the anomaly model, raw rows in, decisions out, one thread", loc="left", fontsize=11)
    below.set_xlabel("microseconds")
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
    for axes, longest in ((above, max(values)), (below, max(heights))):
        axes.set_xlim(0, longest * 1.3)  # the longest bar's figure stands beside it, inside the picture
    return figure

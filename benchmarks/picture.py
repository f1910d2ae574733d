"""A record as a picture: time to begin, and one run in the framework and in the engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_ENGINE, _OTHER = "#2a78b5", "#b9c4cc"


def draw(record: dict[str, Any], path: Path) -> None:
    """Two rows of bars; every bar carries its figure."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5.4), dpi=120, layout="constrained")
    above, below = figure.subplots(2, 1, height_ratios=[4, 5])
    start = record["start"]
    names = list(start)[::-1]
    values = [start[name]["median_s"] for name in names]
    bars = above.barh(names, values, color=[_ENGINE if "onnxpress" in name else _OTHER for name in names])
    above.bar_label(
        bars, [f"{start[name]['median_s']:.2f} s  ({start[name]['ratio']:.1f}×)" for name in names], padding=4
    )
    above.set_title("Time to begin, and its ratio to importing onnxruntime", loc="left", fontsize=11)
    above.set_xlabel("seconds, median of 10")
    runs = record["in_process"]
    labels, places, heights, colours = [], [], [], []
    for number, (name, figures) in enumerate(reversed(runs.items())):
        for offset, (who, key, colour) in enumerate(
            (("engine", "engine_us", _ENGINE), ("itself", "framework_us", _OTHER))
        ):
            labels.append(f"{name}: {who}")
            places.append(number * 2.6 + 1 - offset)
            heights.append(figures[key])
            colours.append(colour)
    bars = below.barh(places, heights, color=colours)
    below.bar_label(bars, [f"{height:.0f} µs" for height in heights], padding=4)
    below.set_yticks(places, labels)
    below.set_title("One run of the anomaly model, raw rows in, decisions out, one thread", loc="left", fontsize=11)
    below.set_xlabel("microseconds")
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.16)
    figure.savefig(path)

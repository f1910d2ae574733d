"""The record as a picture: rows a second by batch for each model, and the server beside the best of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_COLOURS = {
    "cpu": "#8a959e", "cuda": "#2a78b5", "cuda graphs": "#d1651f", "cuda, tf32": "#7fb3d5",
    "cuda graphs, tf32": "#f0a875", "cuda, nhwc": "#4b9b62",
}  # fmt: skip
_CONNECTIONS = "64"


def draw(record: dict[str, Any], path: Path) -> None:
    """A panel for each model, batch against rows a second, both logarithmic; the server's rates as flat lines."""
    from matplotlib.figure import Figure

    rates = record["sections"].get("rates", {})
    serving = record["sections"].get("serving", {}).get("cuda", {})
    models = list(dict.fromkeys(model for found in rates.values() if isinstance(found, dict) for model in found))
    if not models:
        return
    columns = min(3, len(models))
    figure = Figure(figsize=(4.4 * columns, 3.6 * -(-len(models) // columns)), dpi=110, layout="constrained")
    panels = figure.subplots(-(-len(models) // columns), columns, squeeze=False).ravel()
    for model, axes in zip(models, panels, strict=False):
        for name, colour in _COLOURS.items():
            cells = rates.get(name, {}).get(model, {})
            points = [
                (int(batch), cell["rows_per_s"])
                for batch, cell in cells.items()
                if isinstance(cell, dict) and "rows_per_s" in cell
            ]
            if points:
                axes.plot(*zip(*points, strict=True), marker="o", markersize=3, color=colour, label=name)
        for form, style in (("binary", "--"), ("json", ":")):
            served = serving.get(model, {}).get(form, {}).get(_CONNECTIONS, {})
            if isinstance(served, dict) and "per_second" in served:
                axes.axhline(served["per_second"], color="black", linestyle=style, linewidth=1, label=f"server, {form}")
        axes.set(xscale="log", yscale="log", title=model, xlabel="batch", ylabel="rows a second")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize=6, frameon=False)
    for axes in panels[len(models) :]:
        axes.set_visible(False)
    gpu = record.get("gpu", {}).get("name", record["provider"])
    figure.suptitle(f"In process and served ({_CONNECTIONS} connections), {gpu}, {record['date'][:10]}", fontsize=11)
    figure.savefig(path)

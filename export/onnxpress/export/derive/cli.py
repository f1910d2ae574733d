"""The command `derive`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from onnxpress.core.options import json_document
from onnxpress.export.derive.choices import KINDS, PRECISIONS

if TYPE_CHECKING:
    from onnxpress.core.arrays import Array


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    required=True,
    help="8-bit integers, 16-bit floats, weights alone in 8 or 4 bits, or the same in a leaner graph.",
)
@click.option(
    "--calibrate",
    type=click.Path(path_type=Path),
    metavar="FILE.npz",
    required=True,
    help="Real rows, one array per input. Without --held-out, those after the first half, or after 256, are held out.",
)
@click.option(
    "--held-out",
    type=click.Path(path_type=Path),
    metavar="FILE.npz",
    help="Other real rows, on which decisions are counted.",
)
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    metavar="FILE.npz|.npy",
    help="What is right for each held-out row, named after the output that it belongs to.",
)
@click.option(
    "--max-flips",
    default="0.5%",
    show_default=True,
    metavar="SHARE",
    help="Decisions that may differ, with 95 % confidence.",
)
@click.option(
    "--max-neighbours",
    default="5%",
    show_default=True,
    metavar="SHARE",
    help="Nearest neighbours of an embedding that may differ, with 95 % confidence.",
)
@click.option(
    "--max-error",
    default="5%",
    show_default=True,
    metavar="SHARE",
    help="Error of a regression, of the parent's own error, or of its spread where there are no labels.",
)
@click.option(
    "--max-drop",
    "drops",
    multiple=True,
    metavar="METRIC=SHARE",
    help="By how much a metric may be worse, as accuracy=0.2%. Repeatable; needs --labels.",
)
@click.option(
    "--min-speedup",
    type=click.FloatRange(0),
    help="Times quicker at one row or --max-batch; int8: 1.15, same: 1.05, others: 0.5.",
)
@click.option("--min-smaller", type=click.FloatRange(0), help="Times smaller; 16 bits: 1.8, weights alone: 2.")
@click.option(
    "--keep-float",
    "keep",
    default="auto",
    show_default=True,
    metavar="NODES|auto|none",
    help="Nodes that stay as they are, with commas; auto finds those that cost most, where it is needed.",
)
@click.option(
    "--judge",
    "kinds",
    multiple=True,
    metavar="OUTPUT=KIND",
    help=f"What callers take from an output, where it is guessed wrong: {', '.join(KINDS)}. Repeatable.",
)
@click.option(
    "--max-batch", type=click.IntRange(1), default=32, show_default=True, help="Rows of the larger batch timed."
)
@click.option(
    "--seconds", type=click.FloatRange(0, min_open=True), default=1.0, show_default=True, help="Time for each figure."
)
@click.option(
    "--search-seconds", type=click.FloatRange(0), default=120.0, show_default=True, help="Time for ranking nodes."
)
@click.option("--picture", type=click.Path(path_type=Path), metavar="FILE", help="Draw what was tried, as PNG or SVG.")
@json_document
def derive(
    model: Path,
    precision: str,
    calibrate: Path,
    held_out: Path | None,
    labels: Path | None,
    max_flips: str,
    max_neighbours: str,
    max_error: str,
    drops: tuple[str, ...],
    min_speedup: float | None,
    min_smaller: float | None,
    keep: str,
    kinds: tuple[str, ...],
    max_batch: int,
    seconds: float,
    search_seconds: float,
    picture: Path | None,
    as_json: bool,
) -> None:
    """Make a smaller or quicker version of MODEL, a published one, and publish it where its decisions stay.

    Candidates are tried one after the other. Each is held against MODEL on the held-out rows: decisions that differ are
    counted, with a bound that holds with 95 % confidence. It is timed in turns with MODEL on this machine. The first
    inside the gate becomes the next version. Where none is, the table of what was tried is printed, and the exit code
    is 1.
    """
    from onnxpress.core.errors import NotEquivalent
    from onnxpress.export.derive import front
    from onnxpress.export.derive.gate import Gate, share
    from onnxpress.export.derive.page import table
    from onnxpress.export.derive.stage import Wish, gate_for
    from onnxpress.export.derive.stage import derive as derived
    from onnxpress.export.sources.samples import read_samples

    if picture is not None:
        from onnxpress.core.optional import require

        require("matplotlib", needed_by="--picture")
        if picture.suffix.lower() not in (".png", ".svg"):
            raise click.UsageError(f"--picture {picture}: name a file that ends in .png or .svg")
        if not picture.parent.is_dir():
            raise click.UsageError(f"--picture {picture}: there is no folder {picture.parent}")
    gate = Gate(
        max_flips=share(max_flips),
        max_neighbours=share(max_neighbours),
        max_error=share(max_error),
        max_drop={name: share(value) for name, value in (_pair(one, "--max-drop") for one in drops)},
        min_speedup=min_speedup,
        min_smaller=min_smaller,
    )
    chosen = {}
    for name, kind in (_pair(one, "--judge") for one in kinds):
        if kind not in KINDS:
            raise click.UsageError(f"--judge {name}: {kind!r} is none of {', '.join(KINDS)}")
        chosen[name] = kind
    wish = Wish(
        precision=precision,
        gate=gate_for(precision, gate),
        calibrate=read_samples(calibrate),
        held_out=read_samples(held_out) if held_out else None,
        labels=_labels(labels) if labels else {},
        keep=() if keep in ("auto", "none") else [name for name in keep.split(",") if name],
        search=keep == "auto",
        kinds=chosen,
        max_batch=max_batch,
        seconds=seconds,
        search_seconds=search_seconds,
    )
    outcome = derived(model, wish, where=str(held_out or calibrate))
    if picture is not None:
        front.draw(outcome.tried, picture, title=f"{outcome.name} in {precision}", gate=wish.gate)
    if as_json:
        from onnxpress.core.indented_json import indented

        document = {
            "folder": str(outcome.published.folder) if outcome.published else None,
            "derived_from": outcome.published.manifest.derived_from if outcome.published else None,
            "tried": outcome.tried,
            "costs": outcome.costs,
        }
        click.echo(indented(document), nl=False)
    if outcome.published is None:
        shown = "" if as_json else f"\n{table(outcome.tried)}"
        raise NotEquivalent(
            f"no {precision} version is inside the gate, nothing was published{shown}",
            where=str(model),
            hint="more held-out rows prove more; --max-flips, --min-speedup and --keep-float move the gate",
        )
    click.echo(table(outcome.tried), err=True)
    click.echo(outcome.published.tried.told, err=True)
    if not as_json:
        click.echo(str(outcome.published.folder))


def _pair(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.rpartition("=")
    if not equals or not name or not value:
        raise click.UsageError(f"{option} {text}: write NAME=VALUE")
    return name, value


def _labels(path: Path) -> dict[str, Array]:
    """Labels by output, from an `.npz`, or one array from an `.npy`."""
    import numpy as np

    from onnxpress.core.errors import BadData
    from onnxpress.export.sources.samples import checked_samples, read_samples

    if path.suffix != ".npy":
        return dict(read_samples(path))
    try:
        return dict(checked_samples({"labels": np.load(path, allow_pickle=False)}, str(path)))
    except (OSError, ValueError) as error:
        raise BadData(f"cannot be read as .npy: {error}", where=str(path)) from None

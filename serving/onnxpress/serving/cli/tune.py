"""The command `tune`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onnxpress.core.options import provider as provider_option
from onnxpress.serving.cli import options

_WIDTH = 13

if TYPE_CHECKING:
    from onnxpress.serving.tuning import Aim, Level, Point, Refused


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--for",
    "aim",
    type=click.Choice(["throughput", "latency"]),
    default="throughput",
    show_default=True,
    help="What the best is chosen for.",
)
@provider_option
@click.option(
    "--threads", "threads", type=click.IntRange(1), multiple=True, help="Try these only.  [default: 1, 2, 4 ...]"
)
@click.option("--max-batch", type=click.IntRange(1), default=64, show_default=True, help="The largest batch tried.")
@click.option("--size", "sizes", multiple=True, metavar="NAME=SIZE", help="Size of a named dimension; else a sample's.")
@click.option("--seconds", type=click.FloatRange(0, min_open=True), default=0.3, show_default=True, help="Per figure.")
@options.custom_ops
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def tune(
    model: Path,
    aim: Aim,
    provider: str,
    threads: tuple[int, ...],
    max_batch: int,
    sizes: tuple[str, ...],
    seconds: float,
    custom_ops: tuple[str, ...],
    as_json: bool,
) -> None:
    """Measure MODEL with every number of threads, optimisation level and batch size, and keep the best.

    The profile goes beside the version's folder; serve uses it wherever the machine and the runtime are the same.
    """
    from datetime import UTC, datetime

    from onnxpress.core.files import write_atomically
    from onnxpress.core.indented_json import indented
    from onnxpress.core.manifest import most_together
    from onnxpress.core.version_folder import locate_one, read_manifest
    from onnxpress.serving import tuning
    from onnxpress.serving.engine import rows_apart
    from onnxpress.serving.engine.threads import available_cpus
    from onnxpress.serving.models import profiles

    name, version, path = locate_one(model)
    manifest = read_manifest(path.parent)
    cpus = available_cpus()
    # Where it is not known that rows do not touch one another, the server runs no batches.
    apart = rows_apart.of(path, manifest).apart
    most = min(max_batch, most_together(manifest) or max_batch)
    batches = [size for size in tuning.BATCHES if size <= most] if apart else [1]
    tried = threads or (*(count for count in (1, 2, 4, 8, 16, 32, 64) if count < cpus), cpus)
    usual: Level = manifest.session.optimization if manifest else "all"

    def measured(provider: str, levels: tuple[Level, ...]) -> tuple[list[Point], list[Refused]]:
        points: list[Point] = []
        refused: list[Refused] = []
        for found in tuning.measure(
            path,
            provider=provider,
            threads=tried,
            levels=levels,
            batches=batches,
            sizes=tuning.parse_sizes(sizes),
            seconds=seconds,
            custom_ops=custom_ops,
        ):
            if isinstance(found, tuning.Refused):
                refused.append(found)
                said = f"{found.threads} threads, {found.optimization}: refused: {found.why}"
            else:
                points += found
                said = f"{found[0].threads} threads, {found[0].optimization}: measured"
            click.echo(said if provider == "cpu" else f"{provider}, {said}", err=True)
        return points, refused

    points, refused = measured(provider, tuning.LEVELS)
    chosen, alone = tuning.best(points, aim, usual)
    advice = None
    if provider != "cpu":
        on_cpu, _ = measured("cpu", (usual,))
        advice = tuning.advise(aim, provider, (chosen, alone), tuning.best(on_cpu, aim, usual))
    profile = profiles.Profile(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        model_sha256=profiles.digest(path, manifest),
        onnxruntime=profiles.runtime_version(),
        provider=provider,
        cpus=cpus,
        aim=aim,
        threads=chosen.threads,
        optimization=chosen.optimization,
        max_batch=chosen.batch,
        rows_per_second=chosen.rows_per_second,
        latency_ms=1e3 * alone.seconds,
    )
    target = profiles.path_of(path)
    write_atomically(target, indented(profile))
    if as_json:
        document: dict[str, Any] = {
            "name": name,
            "version": version,
            "points": points,
            "refused": refused,
            "best": profile,
            "advice": advice,
            "path": str(target),
        }
        click.echo(indented(document), nl=False)
        return
    _print(points, chosen)
    click.echo(
        f"best for {aim}: {chosen.threads} threads, {chosen.optimization}, batches up to {chosen.batch}: "
        f"{chosen.rows_per_second:,.0f} rows/s, one row {1e3 * alone.seconds:.3g} ms\nwritten to {target}"
    )
    if advice is not None:
        click.echo(f"serve it with --provider {advice.provider}: {advice.reason}")


def _print(points: list[Point], chosen: Point) -> None:
    """A line for each pair of threads and level: milliseconds of a run with each batch. The chosen one has a star."""
    batches = sorted({point.batch for point in points})
    click.echo(f"{'threads':>7}  {'level':8}" + "".join(f"{f'batch {batch}':>{_WIDTH}}" for batch in batches))
    pairs = list(dict.fromkeys((point.threads, point.optimization) for point in points))
    for pair in pairs:
        row = {point.batch: point for point in points if (point.threads, point.optimization) == pair}
        cells = []
        for batch in batches:
            point = row.get(batch)
            mark = "*" if point == chosen else ""
            cells.append(f"{1e3 * point.seconds:.3g} ms{mark}" if point else "")
        click.echo(f"{pair[0]:>7}  {pair[1]:8}" + "".join(f"{cell:>{_WIDTH}}" for cell in cells))

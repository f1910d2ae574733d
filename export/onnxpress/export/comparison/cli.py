"""The command `compare`."""

from __future__ import annotations

from pathlib import Path

import click

from onnxpress.core.options import json_document
from onnxpress.export.source_options import TRUST_PICKLE, TRUST_RUN


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="FILE.npz",
    help="Rows to ask with, one array per input; with an array target, also how right the answers are.",
)
@click.option(
    "--input", "inputs", multiple=True, metavar="SPEC", help="An input of every SOURCE, as 'x:float32[batch,30]'."
)
@click.option(
    "--batch",
    "batches",
    type=click.IntRange(1),
    multiple=True,
    default=(1, 32, 256),
    show_default=True,
    help="Rows of a run. Repeatable.",
)
@click.option("--epochs", type=click.IntRange(1), help="Train recipes for so many epochs; default: their own.")
@click.option(
    "--seconds", type=click.FloatRange(0, min_open=True), default=0.5, show_default=True, help="Time for each figure."
)
@click.option(
    "--patience", type=click.FloatRange(1), default=1800.0, show_default=True, help="Seconds that one step may take."
)
@TRUST_PICKLE
@TRUST_RUN
@click.option(
    "--output", type=click.Path(path_type=Path, file_okay=False), help="Write comparison.json and comparison.png here."
)
@json_document
def compare(
    sources: tuple[str, ...],
    data: Path | None,
    inputs: tuple[str, ...],
    batches: tuple[int, ...],
    epochs: int | None,
    seconds: float,
    patience: float,
    trust_pickle: bool,
    trust_run: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    """Put models side by side: in their framework, compiled, and in ONNX Runtime.

    SOURCE is what `export` takes, or a recipe, which is trained first, a preset family in both frameworks. Every step
    runs in a process of its own. Ratios are to the first SOURCE. Nothing is published.
    """
    import tempfile
    from datetime import UTC, datetime

    import msgspec
    import onnxruntime

    from onnxpress.core.files import write_atomically
    from onnxpress.core.indented_json import indented
    from onnxpress.core.progress import Progress
    from onnxpress.export.comparison import picture, running
    from onnxpress.export.comparison.figures import Comparison
    from onnxpress.export.comparison.table import ratios, table
    from onnxpress.export.source import SourceRef
    from onnxpress.serving.engine.threads import available_cpus

    wish = running.Wish(batches=sorted(set(batches)), seconds=seconds, epochs=epochs, patience=patience)
    chosen = [
        pair
        for source in sources
        for pair in running.contenders(
            SourceRef(
                reference=source, inputs=list(inputs), samples=data, trust_pickle=trust_pickle, trust_run=trust_run
            )
        )
    ]
    imports: dict[str, float] = {}
    found = []
    with tempfile.TemporaryDirectory(prefix="onnxpress-compare-") as folder, Progress("comparing", len(chosen)) as bar:
        for framework, ref in chosen:
            one = running.measured(ref, framework, wish, Path(folder))
            for name in [name for name in (one.framework, "onnxruntime") if name and name not in imports]:
                imports[name] = running.import_seconds(name)
            found.append(
                msgspec.structs.replace(
                    one, import_seconds=imports.get(one.framework), runtime_import_seconds=imports["onnxruntime"]
                )
            )
            bar.advance(ref.reference)
    comparison = Comparison(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        onnxruntime=onnxruntime.__version__,
        cpus=available_cpus(),
        batches=wish.batches,
        contenders=found,
    )
    comparison = msgspec.structs.replace(comparison, ratios=ratios(comparison))
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        write_atomically(output / "comparison.json", indented(comparison))
        picture.draw(comparison, output / "comparison.png")
    if as_json:
        click.echo(indented(comparison), nl=False)
    else:
        click.echo(table(comparison))
    if all(one.failed for one in found):
        raise SystemExit(1)

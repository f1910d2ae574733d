"""The command `port`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import click

from onnxpress.core import cli as commands
from onnxpress.core.errors import UsageError
from onnxpress.export.source_options import INPUT, SAMPLES, WEIGHTS


@click.command()
@click.argument("source")
@click.option("--to", type=click.Choice(["pytorch", "tensorflow"]), required=True, help="The other framework.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE.py",
    help="The module to write; of a run, the folder its folder goes to.  [default of a run: runs]",
)
@INPUT
@SAMPLES
@WEIGHTS
@click.option(
    "--layout",
    type=click.Choice(["native", "keep"]),
    default="native",
    show_default=True,
    help="Whether inputs and answers have the other framework's order of axes, or keep the source's.",
)
@click.option("--round-trip", is_flag=True, help="Export what was written to ONNX, port it back too, and ask both.")
@click.option(
    "--accept-refusal", metavar="REASON", help="Write a port that fails its proof; the reason stands in the report."
)
@click.option("--force", is_flag=True, help="Write over a module that is there, and its weights.")
def port(
    source: str,
    to: Literal["pytorch", "tensorflow"],
    output: Path | None,
    inputs: tuple[str, ...],
    samples: Path | None,
    weights: Path | None,
    layout: Literal["native", "keep"],
    round_trip: bool,
    accept_refusal: str | None,
    force: bool,
) -> None:
    """Write the model of SOURCE in the other framework, with the same weights; prints what was written.

    SOURCE is module:attribute naming a torch module or a Keras model, its class or a factory, or a .keras or .onnx
    file: a module of code, a file of weights and a report are written, once answers, parameters, gradients and training
    are proven the same, of an .onnx file as far as it tells. Or it is a run folder of one of onnxpress's families, in
    either framework: a run folder is written.
    """
    from onnxpress.core import run as runs

    if (Path(source) / runs.FILE_NAME).is_file():
        if inputs or samples or weights or accept_refusal or round_trip or force or layout != "native":
            raise UsageError("a run has its own inputs, samples and weights", where=source)
        of_runs = commands.command(commands.PORT_OF_RUNS)
        click.get_current_context().invoke(of_runs, run=Path(source), to=to, output=output or Path("runs"))
        return
    if output is None:
        raise UsageError("say where the module goes", where=source, hint="--output nets_keras.py")
    if output.is_file() and not force:
        raise UsageError(
            "there is such a module already", where=str(output), hint="--output names another, --force replaces it"
        )
    # Read by TensorFlow when it first needs memory. What its own allocator has taken it keeps for good.
    os.environ.setdefault("TF_ONEDNN_USE_SYSTEM_ALLOCATOR", "1")
    from onnxpress.export.port.carrying import carry
    from onnxpress.export.port.proof.aside import map_large_arrays
    from onnxpress.export.source import SourceRef
    from onnxpress.export.sources.resolve import resolve

    map_large_arrays()
    found = resolve(SourceRef(reference=source, inputs=list(inputs), samples=samples, weights=weights))
    ported = carry(
        found, to=to, output=output, accept_refusal=accept_refusal, keep=layout == "keep", returns=round_trip
    )
    for rung in ported.report.rungs:
        mark = {True: "holds", False: "FAILS", None: "not asked"}[rung.holds]
        figure = "" if rung.worst is None else f", {rung.worst:.2g} of {rung.limit:g}"
        click.echo(f"{rung.name}: {mark}{figure} ({rung.detail})", err=True)
        for difference in _shortened(rung.differences):
            click.echo(f"  named difference: {difference}", err=True)
    click.echo(str(ported.code))
    click.echo(str(ported.weights))


def _shortened(differences: list[str]) -> list[str]:
    """Those of many weights in one line, where they say the same; the report has all."""
    named: dict[str, list[str]] = {}
    for difference in differences:
        name, _, what = difference.partition(": ")
        named.setdefault(what, []).append(name)
    counted = {
        what: f"{names[0]} and {len(names) - 1} more" if names[1:] else names[0] for what, names in named.items()
    }
    return [f"{told}: {what}" if what else told for what, told in counted.items()]

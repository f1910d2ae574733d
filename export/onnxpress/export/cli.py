"""The commands `export` and `verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from onnxpress.export.equivalence.report import Report
    from onnxpress.export.source import Source

_PROVIDER = click.option(
    "--provider", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True, help="Where to run the model."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
_INPUT = click.option(
    "--input", "inputs", multiple=True, metavar="SPEC", help="An input, as 'x:float32[batch,3,224,224]'. Repeatable."
)
_SAMPLES = click.option(
    "--samples", type=click.Path(path_type=Path), metavar="FILE.npz", help="Real input rows, one array per input."
)


@click.command()
@click.argument("source")
@click.option("--name", help="Name of the model; default: the run's name, or the attribute's.")
@click.option(
    "--repository", type=click.Path(path_type=Path, file_okay=False), default=Path("models"), show_default=True
)
@_INPUT
@_SAMPLES
@_PROVIDER
@_JSON
def export(
    source: str,
    name: str | None,
    repository: Path,
    inputs: tuple[str, ...],
    samples: Path | None,
    provider: str,
    as_json: bool,
) -> None:
    """Convert SOURCE to ONNX, measure that it says the same, and publish it.

    SOURCE is a run folder written by `onnxpress train`, or module:attribute naming a torch or Keras model, its class,
    or a factory that returns the model or (model, example_inputs). Prints the published folder.
    """
    from onnxpress.export import stage

    resolved = _resolve(source, inputs, samples, provider)
    published = stage.export(resolved, repository=repository, name=name, provider=provider)
    click.echo(str(published.report), err=True)
    if as_json:
        _print_json({"folder": str(published.folder), "manifest": published.manifest, "equivalence": published.report})
    else:
        click.echo(str(published.folder))


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--against", metavar="SOURCE", help="Measure against this run folder or module:attribute.")
@_INPUT
@_SAMPLES
@_PROVIDER
@_JSON
def verify(
    model: Path,
    against: str | None,
    inputs: tuple[str, ...],
    samples: Path | None,
    provider: str,
    as_json: bool,
) -> None:
    """Check a published version: its files, and its golden samples replayed here. Needs no framework.

    With --against, the whole measurement is made again between MODEL and SOURCE.
    """
    from onnxpress.export import verification

    if against is not None:
        report: Report = verification.against_source(model, _resolve(against, inputs, samples, provider), provider)
        if as_json:
            _print_json(report)
        else:
            click.echo(str(report))
        if not report.equivalent:
            raise click.exceptions.Exit(1)
        return
    replay = verification.replay(model, provider)
    if as_json:
        _print_json(replay)
    else:
        click.echo(str(replay))


def _resolve(source: str, inputs: tuple[str, ...], samples: Path | None, provider: str) -> Source:
    from onnxpress.core.tensors import parse_spec
    from onnxpress.export.source import resolve

    specs = [parse_spec(text) for text in inputs]
    return resolve(source, inputs=specs, samples=samples, hide_gpus=provider == "cpu")


def _print_json(value: object) -> None:
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))

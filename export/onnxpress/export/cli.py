"""The commands `export` and `verify`."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onnxpress.core.options import json_document
from onnxpress.core.options import provider as provider_option
from onnxpress.export.graph.opset import OPSET
from onnxpress.export.source_options import INPUT, SAMPLES, TRUST_PICKLE, TRUST_RUN, WEIGHTS

if TYPE_CHECKING:
    from onnxpress.export.equivalence.report.schema import Report
    from onnxpress.export.source import SourceRef

# These too are named after the fields of SourceRef.
_DOMAIN = click.option(
    "--domain",
    "domains",
    multiple=True,
    metavar="DOMAIN",
    help="The values that an input takes, as 'x:[0,255]'; the server refuses others. Repeatable.",
)
_WEIGHTS_KEY = click.option(
    "--weights-key",
    metavar="KEY",
    help="Where in a checkpoint the state dict is; default: the usual places, such as model_state_dict.",
)
_SIGNATURE = click.option("--signature", metavar="NAME", help="For a SavedModel: which of its signatures.")


@click.command()
@click.argument("sources", nargs=-1, metavar="SOURCE...")
@click.option(
    "--list",
    "listed",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Export the sources that a YAML file lists.",
)
@click.option("--name", help="Name of the model; default: the run's, the file's or the attribute's.")
@click.option(
    "--repository",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("models"),
    show_default=True,
    help="Where the version is published.",
)
@INPUT
@_DOMAIN
@SAMPLES
@provider_option
@TRUST_PICKLE
@TRUST_RUN
@click.option("--against", metavar="SOURCE", help="For an .onnx file: the framework's model to compare it with.")
@click.option(
    "--preprocess", type=click.Path(path_type=Path), metavar="FILE", help="Steps to write around the network, as YAML."
)
@WEIGHTS
@_WEIGHTS_KEY
@_SIGNATURE
@click.option(
    "--opset", type=int, default=OPSET, show_default=True, help="The ONNX opset to write, for an older runtime."
)
@click.option(
    "--allow-operator", "allow_operators", multiple=True, metavar="DOMAIN:NAME", help="A custom operator. Repeatable."
)
@click.option(
    "--time-limit", type=float, default=1800.0, show_default=True, metavar="SECONDS", help="End a conversion then."
)
@click.option("--memory-limit", type=float, metavar="GIB", help="End a conversion then; default: 80 % of what is free.")
@click.option(
    "--accept-refusal",
    metavar="REASON",
    help="Publish a version that the measurement refuses; the reason stands wherever it is shown.",
)
@json_document
def export(
    sources: tuple[str, ...],
    listed: Path | None,
    name: str | None,
    repository: Path,
    provider: str,
    time_limit: float,
    memory_limit: float | None,
    accept_refusal: str | None,
    as_json: bool,
    **of_source: Any,
) -> None:
    """Convert each SOURCE to ONNX, measure that it says the same, and publish it.

    SOURCE is a run folder written by `onnxpress train`; module:attribute naming a torch or Keras model, a tf.function
    or a scikit-learn estimator, its class, or a factory that returns the model or (model, example_inputs); or a file:
    .pt2, TorchScript .pt, .keras, .h5, a SavedModel folder, .onnx, a scikit-learn pickle. Prints the published folders;
    for several sources a table too, and the worst exit code.
    """
    from onnxpress.export.child_process.parent import ConversionLimits
    from onnxpress.export.pipeline import source_list
    from onnxpress.export.pipeline.export import export as export_one
    from onnxpress.export.pipeline.publish import Published
    from onnxpress.export.sources.resolve import resolve

    if bool(sources) == (listed is not None):
        raise click.UsageError("name one or more sources, or a --list of them")
    if len(sources) > 1 and name is not None:
        raise click.UsageError("--name names one model; there are several sources")
    if listed is not None:
        if accept_refusal is not None:
            raise click.UsageError("in a list, each source has its own `accept_refusal`")
        entries = source_list.read_list(
            listed,
            trust_pickle=of_source["trust_pickle"],
            trust_run=of_source["trust_run"],
            hide_gpus=_hides_gpus(provider),
        )
    else:
        entries = [
            source_list.Entry(ref=_ref(source, provider, of_source), name=name, accept_refusal=accept_refusal)
            for source in sources
        ]
    limits = ConversionLimits(seconds=time_limit, memory=None if memory_limit is None else int(memory_limit * 2**30))

    def one(entry: source_list.Entry) -> Published:
        with contextlib.redirect_stdout(sys.stderr):  # what the user's own code prints is talk, not a result
            published = export_one(
                resolve(entry.ref),
                repository=repository,
                name=entry.name,
                provider=provider,
                limits=limits,
                accept_refusal=entry.accept_refusal,
            )
        click.echo(str(published.report), err=True)
        return published

    if len(sources) == 1:
        published = one(entries[0])
        if as_json:
            _print_json(source_list.document(published))
        else:
            click.echo(str(published.folder))
        return
    results = source_list.export_each(entries, one)
    if as_json:
        _print_json(results)
    else:
        for result in results:
            if result.folder is not None:
                click.echo(result.folder)
    click.echo(source_list.table(results), err=True)
    if code := max(result.exit_code for result in results):
        raise click.exceptions.Exit(code)


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--against",
    multiple=True,
    metavar="SOURCE",
    help="Measure against this source, as `export` takes it. Repeated: the same model elsewhere, as a rung each.",
)
@click.option("--explain", is_flag=True, help="With --against: name the layer where the model leaves its source.")
@INPUT
@_DOMAIN
@SAMPLES
@WEIGHTS
@_WEIGHTS_KEY
@_SIGNATURE
@provider_option
@TRUST_PICKLE
@TRUST_RUN
@json_document
def verify(
    model: Path,
    against: tuple[str, ...],
    explain: bool,
    provider: str,
    as_json: bool,
    **of_source: Any,
) -> None:
    """Check a published version: its files, and its golden samples replayed here. Needs no framework.

    Of a repository every version of every model is checked, with a line each; the exit code is 1 where one failed.

    With --against, the whole measurement is made again between MODEL and SOURCE.
    """
    from onnxpress.core.version_folder import locate
    from onnxpress.export.pipeline import verify as verifying
    from onnxpress.export.sources.resolve import resolve

    if explain and not against:
        raise click.UsageError("--explain compares with a source: name it with --against")
    if against:
        without = {**of_source, "weights": None, "weights_key": None}
        source, *others = [
            resolve(_ref(reference, provider, of_source if ":" in reference else without)) for reference in against
        ]
        report: Report = verifying.against_source(model, source, provider, others=others, explain=explain)
        if as_json:
            _print_json(report)
        else:
            click.echo(str(report))
        if not report.equivalent:
            raise click.exceptions.Exit(1)
        return
    located = locate(model)
    if located.form == "repository":
        outcomes = []
        for outcome in verifying.replay_all(located, provider):
            outcomes.append(outcome)
            if not as_json:
                click.echo(str(outcome))
        if as_json:
            _print_json(outcomes)
        if any(outcome.error is not None for outcome in outcomes):
            raise click.exceptions.Exit(1)
        return
    replay = verifying.replay(model, provider)
    if as_json:
        _print_json(replay)
    else:
        click.echo(str(replay))


def _print_json(value: object) -> None:
    from onnxpress.core.indented_json import indented

    click.echo(indented(value), nl=False)


def _ref(reference: str, provider: str, options: dict[str, Any]) -> SourceRef:
    """The source with its options, as click gives them."""
    from onnxpress.export.source import SourceRef

    given: Any = {name: list(value) if isinstance(value, tuple) else value for name, value in options.items()}
    return SourceRef(reference=reference, hide_gpus=_hides_gpus(provider), **given)


def _hides_gpus(provider: str) -> bool:
    return provider == "cpu"

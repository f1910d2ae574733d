"""The command `explain`."""

from __future__ import annotations

from pathlib import Path

import click

from onnxpress.core.options import provider as provider_option
from onnxpress.serving.cli import options


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@provider_option
@click.option("--threads", type=click.IntRange(1), help="As for serve.  [default: the profile's, or serve's]")
@click.option("--max-batch", type=click.IntRange(1), help="As for serve.  [default: the profile's, or serve's]")
@options.custom_ops
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def explain(
    model: Path,
    provider: str,
    threads: int | None,
    max_batch: int | None,
    custom_ops: tuple[str, ...],
    as_json: bool,
) -> None:
    """Show with which options MODEL would be served, and why with these."""
    from onnxpress.core.indented_json import indented
    from onnxpress.core.version_folder import locate_one
    from onnxpress.serving import serving_options
    from onnxpress.serving.engine import Engine
    from onnxpress.serving.models import profiles

    name, version, path = locate_one(model)
    chosen = profiles.choose(path, provider=provider, threads=threads, max_rows=max_batch)
    engine = Engine.load(
        path,
        provider=provider,
        settings=chosen.settings,
        threads=chosen.threads,
        custom_ops=custom_ops,
    )
    choices = serving_options.explain(engine, chosen, path)
    if as_json:
        document = {"name": name, "version": version, "choices": choices}
        click.echo(indented(document), nl=False)
        return
    click.echo(f"{name} version {version}")
    width = max(len(choice.option) for choice in choices)
    value = max(len(choice.value) for choice in choices)
    for choice in choices:
        click.echo(f"  {choice.option:{width}}  {choice.value:{value}}  {choice.why}")

"""The command `inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def inspect(model: Path, as_json: bool) -> None:
    """Show what MODEL takes and answers, where it came from, and what was measured of it."""
    from onnxpress.core.version_folder import locate_one
    from onnxpress.serving.engine import Engine

    name, version, path = locate_one(model)
    engine = Engine.load(path, self_test=False)
    manifest = engine.manifest
    if as_json:
        from onnxpress.core.indented_json import indented

        document: dict[str, Any] = {
            "name": name,
            "version": version,
            "path": str(path),
            "size": path.stat().st_size,
            "inputs": engine.inputs,
            "outputs": engine.outputs,
            "rows": engine.rows,
            "manifest": manifest,
        }
        click.echo(indented(document), nl=False)
        return
    click.echo(f"{name} version {version}   {path}   {path.stat().st_size:,} bytes")
    for title, specs in (("takes", engine.inputs), ("answers", engine.outputs)):
        for spec in specs:
            click.echo(f"  {title:8} {spec}")
    for spec in engine.inputs:
        if spec.domain is not None and spec.domain.enforced:
            click.echo(f"  domain   {spec.name}: {spec.domain}")
        if spec.refuses:
            click.echo(f"  refuses  {spec.name}: {', '.join(spec.refuses)}")
    if manifest is None:
        click.echo("  unverified: there is no manifest beside it")
        click.echo(f"  rows     {'may share a run' if engine.rows.apart else 'run alone'}: {engine.rows.why}")
        return
    for output, labels in manifest.labels.items():
        click.echo(f"  labels   {output}: {', '.join(labels)}")
    for output, threshold in manifest.thresholds.items():
        click.echo(f"  threshold {output}: {threshold:g}")
    summary, source = manifest.equivalence, manifest.source
    if summary.power is not None:
        click.echo(f"  power    {summary.power.told}")
    derived = manifest.derived_from
    if derived is not None:
        quicker = ", ".join(f"{ratio:g} at {batch}" for batch, ratio in derived.quicker.items())
        click.echo(f"  derived  {derived.precision} from version {derived.version}: {derived.told}")
        click.echo(f"           {derived.method}; {derived.smaller:.2f} times smaller; quicker: {quicker}")
        click.echo(f"           on a processor with {', '.join(derived.processor) or 'nothing of note'}")
    elif summary.accepted:
        click.echo(f"  refused  and published knowingly: {summary.accepted}")
    worst = "inf" if summary.worst_multiple is None else f"{summary.worst_multiple:.2g}"
    verdict = "equivalent" if summary.equivalent else "as derived" if derived else "NOT equivalent"
    click.echo(
        f"  measured {verdict}: worst {worst} of "
        f"{summary.limit:g} noise floors ({summary.floor}); batch-safe: {'yes' if manifest.batch_safe else 'no'}"
        f"{f', {manifest.rows}' if manifest.rows else ''}"
    )
    click.echo(f"  from     {source.reference} ({source.framework} {source.framework_version}, {source.converter})")
    click.echo(f"  made     {manifest.created}, opset {manifest.opset}, IR {manifest.ir_version}")

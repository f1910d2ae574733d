"""The command `serve`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from onnxpress.serving.repository import Repository


@click.command()
@click.argument("path", type=click.Path(path_type=Path), default=Path("models"))
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free one.")
@click.option(
    "--provider", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True, help="Where to run the models."
)
@click.option("--threads", type=click.IntRange(1), help="Per model; default: the CPUs of this cgroup.")
@click.option("--all-versions", is_flag=True, help="Load every version, not only the latest of each model.")
@click.option("--require-equivalence", is_flag=True, help="Refuse models whose equivalence was never measured.")
@click.option("--max-body", type=click.IntRange(1), default=64 * 1024 * 1024, show_default=True, help="Bytes.")
@click.option("--max-batch", type=click.IntRange(1), default=64, show_default=True, help="Rows run together.")
@click.option("--max-waiting", type=click.IntRange(1), default=1024, show_default=True, help="Requests per model.")
@click.option(
    "--grace", type=click.FloatRange(0), default=30.0, show_default=True, help="Seconds to finish on SIGTERM."
)
def serve(
    path: Path,
    host: str,
    port: int,
    provider: str,
    threads: int | None,
    all_versions: bool,
    require_equivalence: bool,
    max_body: int,
    max_batch: int,
    max_waiting: int,
    grace: float,
) -> None:
    """Serve the models at PATH (an .onnx file, a version, a model or a repository; default: models) over HTTP.

    Prints its URL on stdout once every model is loaded and has replayed its golden samples.
    """
    from onnxpress.serving.repository import Repository
    from onnxpress.serving.service import Service
    from onnxpress.serving.transports import http, lifetime

    repository = Repository(
        path,
        provider=provider,
        threads=threads,
        all_versions=all_versions,
        require_equivalence=require_equivalence,
        max_rows=max_batch,
        max_waiting=max_waiting,
    )

    def on_ready(url: str) -> None:
        click.echo(url)
        _say(repository)

    limits = http.Limits(max_body=max_body, grace_seconds=grace)
    main = lifetime.run(Service(repository), host=host, port=port, limits=limits, on_ready=on_ready)
    try:
        _run(main)
    finally:
        repository.close()


def _run(main: object) -> None:
    try:
        import uvloop
    except ModuleNotFoundError:  # Windows has none
        import asyncio

        asyncio.run(main)  # type: ignore[arg-type]
    else:
        uvloop.run(main)


def _say(repository: Repository) -> None:
    for name, versions in repository.models.items():
        for version, served in versions.items():
            test = served.engine.self_test
            if test is not None:
                state = f"self-test {test.worst_multiple:.2g} of {test.limit:g} noise floors"
            else:
                state = "no golden samples to replay" if served.engine.manifest else "unverified: it has no manifest"
            click.echo(f"serving {name} version {version} ({state})", err=True)
    for (name, version), reason in repository.failed.items():
        click.echo(f"NOT serving {name} version {version}: {reason}", err=True)

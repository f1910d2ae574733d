"""The command `serve`."""

from __future__ import annotations

import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
@click.option("--threads", type=click.IntRange(1), help="Per model; default: the cgroup's CPUs, shared by the workers.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes on the one port.")
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
    workers: int,
    all_versions: bool,
    require_equivalence: bool,
    max_body: int,
    max_batch: int,
    max_waiting: int,
    grace: float,
) -> None:
    """Serve the models at PATH (an .onnx file, a version, a model or a repository; default: models) over HTTP.

    Prints its URL on stdout once every model is loaded and has replayed its golden samples. With --workers, SIGHUP
    restarts the workers one after another without refusing a request.
    """
    worker = None
    if workers > 1:
        from onnxpress.serving.workers import supervise

        # Before numpy and onnxruntime are imported: what forks must be light, and without threads.
        worker = supervise(host=host, port=port, workers=workers, grace=grace, on_ready=click.echo)
    # numpy's BLAS runs nothing here; making its threads would cost 40 ms of the start.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from onnxpress.serving.engine.threads import available_cpus
    from onnxpress.serving.repository import Repository
    from onnxpress.serving.service import Service
    from onnxpress.serving.transports import http, lifetime

    repository = Repository(
        path,
        provider=provider,
        threads=threads or max(1, available_cpus() // workers),
        all_versions=all_versions,
        require_equivalence=require_equivalence,
        max_rows=max_batch,
        max_waiting=max_waiting,
    )

    def on_ready(url: str) -> None:
        if worker is None:
            click.echo(url)
        else:
            worker.say_ready()
        if worker is None or worker.first:
            _say(repository)

    limits = http.Limits(max_body=max_body, grace_seconds=grace)
    main = lifetime.run(Service(repository), host=host, port=port, limits=limits, on_ready=on_ready, worker=worker)
    unanswered = _run(main)
    if unanswered or not repository.ready:
        # A thread is still running or loading a model; it cannot be interrupted, and Python's exit would wait for it.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1 if unanswered else 0)
    repository.close()


def _run(main: Coroutine[Any, Any, int]) -> int:
    try:
        from uvloop import run
    except ModuleNotFoundError:  # Windows has none
        from asyncio import run
    return run(main)


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

"""The command `serve`."""

from __future__ import annotations

import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onnxpress.core.options import provider as provider_option
from onnxpress.serving.cli import options

if TYPE_CHECKING:
    from threading import Thread

    from onnxpress.serving.isolation.session import Limits
    from onnxpress.serving.metrics.over_workers import Peers
    from onnxpress.serving.models.repository import Repository
    from onnxpress.serving.service import Service

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@click.argument("path", type=click.Path(path_type=Path), default=Path("models"))
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free one.")
@provider_option
@click.option(
    "--threads",
    type=click.IntRange(1),
    help="Per model.  [default: the profile's, or a share of the CPUs]",
)
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes on the one port.")
@click.option(
    "--versions", default="latest", show_default=True, metavar="POLICY", help="latest, latest:N, all, or 1,3 by number."
)
@click.option("--require-equivalence", is_flag=True, help="Refuse models whose equivalence was never measured.")
@click.option(
    "--prepack/--no-prepack",
    default=True,
    show_default=True,
    help="Without, external weights stay in their file, mapped once for all workers; batches are slower.",
)
@click.option("--isolate", is_flag=True, help="Run every model in a process of its own, started again when it ends.")
@click.option(
    "--run-limit",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="With --isolate: a run that takes longer ends the model's process.  [default: 30]",
)
@click.option(
    "--load-limit",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="With --isolate: the same for loading.  [default: 60]",
)
@options.custom_ops
@click.option("--max-body", type=click.IntRange(1), default=64 * 1024 * 1024, show_default=True, help="Bytes.")
@click.option(
    "--max-held", type=click.IntRange(1), default=1 << 30, show_default=True, help="Bytes of all large bodies."
)
@click.option("--max-head", type=click.IntRange(256), default=32 * 1024, show_default=True, help="Bytes.")
@click.option("--max-connections", type=click.IntRange(1), default=10_000, show_default=True, help="Per process.")
@click.option("--request-timeout", type=click.IntRange(1), default=60, show_default=True, help="Seconds to send it.")
@click.option("--idle-timeout", type=click.IntRange(1), default=75, show_default=True, help="Seconds between requests.")
@click.option("--max-batch", type=click.IntRange(1), help="Rows run together.  [default: the profile's, or 64]")
@click.option("--max-waiting", type=click.IntRange(1), default=1024, show_default=True, help="Requests per model.")
@click.option(
    "--poll", type=click.FloatRange(0), default=0.0, metavar="SECONDS", help="Look for new versions so often."
)
@click.option("--model-control", is_flag=True, help="Let callers load and unload models.")
@click.option("--tokens", type=_FILE, help="Answer only callers with a bearer token of this file, one a line.")
@click.option("--unix", type=click.Path(path_type=Path), help="Listen on this Unix socket instead of a port.")
@click.option("--tls-certificate", type=_FILE, help="PEM file; with --tls-key, speak TLS.")
@click.option("--tls-key", type=_FILE, help="PEM file.")
@click.option("--allow-origin", multiple=True, metavar="ORIGIN", help="Let web pages from there ask; * for all.")
@click.option("--access-log", is_flag=True, help="A line of JSON on stderr for every answer.")
@click.option(
    "--compress-from", type=click.IntRange(0), metavar="BYTES", help="Gzip answers of so many bytes where accepted."
)
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
    versions: str,
    require_equivalence: bool,
    prepack: bool,
    isolate: bool,
    run_limit: float | None,
    load_limit: float | None,
    custom_ops: tuple[str, ...],
    max_body: int,
    max_held: int,
    max_head: int,
    max_connections: int,
    request_timeout: int,
    idle_timeout: int,
    max_batch: int | None,
    max_waiting: int,
    poll: float,
    model_control: bool,
    tokens: Path | None,
    unix: Path | None,
    tls_certificate: Path | None,
    tls_key: Path | None,
    allow_origin: tuple[str, ...],
    access_log: bool,
    compress_from: int | None,
    grace: float,
) -> None:
    """Serve the models at PATH (an .onnx file, a version, a model or a repository; default: models) over HTTP.

    Prints its URL on stdout once every model is loaded and has replayed its golden samples. With --workers, SIGHUP
    restarts the workers one after another without refusing a request.
    """
    worker = None
    if not isolate and (run_limit is not None or load_limit is not None):
        raise click.UsageError("--run-limit and --load-limit need --isolate: what runs in this process cannot be ended")
    if workers > 1:
        from shutil import rmtree
        from tempfile import mkdtemp

        from onnxpress.serving.workers import supervise

        for option, given in (("--unix", unix), ("--model-control", model_control)):
            if given:  # one socket, and one set of models, for all workers to share
                raise click.UsageError(f"{option} cannot be had with several --workers")
        scheme = "https:" if tls_certificate else "http:"
        shared = Path(mkdtemp(prefix="onnxpress-"))
        try:
            # Before numpy and onnxruntime are imported: what forks must be light, and without threads.
            worker = supervise(
                host=host,
                port=port,
                workers=workers,
                grace=grace,
                on_ready=lambda url: click.echo(url.replace("http:", scheme)),
            )
        finally:
            if worker is None:  # the supervisor, at its end
                rmtree(shared, ignore_errors=True)
    # numpy's BLAS runs nothing here; making its threads would cost 40 ms of the start.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from onnxpress.serving.engine.threads import available_cpus
    from onnxpress.serving.models.repository import Repository
    from onnxpress.serving.service import Guarded, Service
    from onnxpress.serving.transports import lifetime, limits
    from onnxpress.serving.transports.listening import Address

    repository = Repository(
        path,
        provider=provider,
        threads=threads,
        share=max(1, available_cpus() // workers),
        versions=versions,
        require_equivalence=require_equivalence,
        prepack=prepack,
        isolate=_isolation(run_limit, load_limit) if isolate else None,
        custom_ops=custom_ops,
        max_rows=max_batch,
        max_waiting=max_waiting,
    )

    completing: list[Thread] = []

    def on_ready(url: str) -> None:
        if repository.incomplete:
            completing.append(_complete(service))
        if worker is None:
            click.echo(url)
        else:
            worker.say_ready()
        if worker is None or worker.first:
            _say(repository)

    bounds = limits.Limits(
        max_body=max_body,
        max_held=max_held,
        max_head=max_head,
        max_connections=max_connections,
        request_seconds=request_timeout,
        idle_seconds=idle_timeout,
        grace_seconds=grace,
    )
    if tokens is None:
        service = Service(repository, max_body=max_body, compress_from=compress_from)
    else:
        from onnxpress.serving.middleware.tokens import Tokens

        service = Guarded(repository, Tokens(tokens), max_body=max_body, compress_from=compress_from)
    main = lifetime.run(
        service,
        address=Address(host=host, port=port, unix=unix, certificate=tls_certificate, key=tls_key),
        limits=bounds,
        on_ready=on_ready,
        poll_seconds=poll,
        model_control=model_control,
        access_log=access_log,
        allow_origins=allow_origin,
        worker=worker,
    )
    if worker is not None:
        from onnxpress.serving.metrics.over_workers import Peers

        service.peers = Peers(shared, service)
        main = _among(service.peers, main)
    unanswered = _run(main)
    if unanswered or not repository.ready or any(thread.is_alive() for thread in completing):
        # A thread is still running or loading a model; it cannot be interrupted, and Python's exit would wait for it.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1 if unanswered else 0)
    repository.close()


def _isolation(run_seconds: float | None, load_seconds: float | None) -> Limits:
    from onnxpress.serving.isolation.session import Limits

    default = Limits()
    return Limits(run_seconds=run_seconds or default.run_seconds, load_seconds=load_seconds or default.load_seconds)


def _complete(service: Service) -> Thread:
    """Do the rest of the loading beside the answering; a thread that need not be waited for at the end."""
    import asyncio
    from threading import Thread

    from onnxpress.serving.models.reloading import Keeper

    thread = Thread(target=Keeper(service).complete, args=(asyncio.get_running_loop(),), daemon=True)
    thread.start()
    return thread


async def _among(peers: Peers, main: Coroutine[Any, Any, int]) -> int:
    await peers.start()
    try:
        return await main
    finally:
        peers.leave()


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

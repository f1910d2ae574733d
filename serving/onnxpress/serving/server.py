"""The whole server as one call: its processes, models and sockets, from the start until it is told to stop."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from onnxpress.serving import log
from onnxpress.serving.settings import ServerSettings

if TYPE_CHECKING:
    from threading import Thread

    from onnxpress.serving.metrics.over_workers import WorkerMetrics
    from onnxpress.serving.models.reloading import Reloader
    from onnxpress.serving.models.repository import Repository
    from onnxpress.serving.workers import Worker


_LAST_SECONDS, _LEAST_SECONDS = 1.0, 0.1
"""for models to end once nobody waits for an answer, of the grace time; and for those whose callers were cut off"""
_COLLECTOR = "OTEL_EXPORTER_OTLP_"
"""what the names begin with by which OpenTelemetry's environment says who takes traces"""


class Ended(msgspec.Struct, frozen=True):
    """How a server ended."""

    unanswered: int
    """connections that were left without an answer, when the grace time was over or a second signal came"""
    busy: bool
    """whether a thread still loads or runs a model; it cannot be interrupted, and Python's own exit waits for it"""


def run(settings: ServerSettings, on_ready: Callable[[str], None] | None = None) -> Ended:
    """Serve until SIGTERM or SIGINT. It blocks, must be called in the main thread, and talks to stderr.

    `on_ready` gets the URL once the server is ready, or once loading is over where models failed. After the first
    signal the server is not ready any more, finishes what it accepted and returns; a second signal cuts that short.
    SIGHUP has tokens and certificate read again. Raises UsageError where it cannot listen, and BadModel where no model
    can be loaded, nor can come later.

    With several workers this process becomes their supervisor, and forks: call it before numpy, ONNX Runtime or a
    thread is there. It does not return then: SystemExit ends each of these processes, with 0 where all was answered.

    >>> def ready(url):
    ...     print(url.rpartition(":")[0])
    ...     os.kill(os.getpid(), signal.SIGTERM)
    >>> onnxpress.serve(onnxpress.ServerSettings(path="models", address={"port": 0}), on_ready=ready)
    http://127.0.0.1
    Ended(unanswered=0, busy=False)
    """
    log.keep_descriptors()
    log.speak(settings.answers.log_format)
    if settings.processes.cores is not None:
        from onnxpress.serving import cores

        cores.keep_to(settings.processes.cores)  # before threads are there, which inherit it
    on_ready = on_ready or (lambda url: None)
    if settings.processes.workers > 1:
        _share(settings, on_ready)
    return _serve(settings, on_ready)


def _share(settings: ServerSettings, on_ready: Callable[[str], None]) -> NoReturn:
    """Serve with several processes; ends each of them."""
    from shutil import rmtree
    from tempfile import mkdtemp

    from onnxpress.serving.workers import supervise

    worker, shared = None, Path(mkdtemp(prefix="onnxpress-"))
    try:
        # Before numpy and onnxruntime are imported: what forks must be light, and without threads.
        worker = supervise(settings, on_ready)
    finally:
        if worker is None:  # the supervisor, at its end
            rmtree(shared, ignore_errors=True)
    leave(_serve(settings, on_ready, worker, shared))


def leave(ended: Ended) -> NoReturn:
    """End this process: 0, or 1 where a connection was left without its answer."""
    for number in (signal.SIGTERM, signal.SIGINT):  # another one would end it with another code
        signal.signal(number, signal.SIG_IGN)
    code = 1 if ended.unanswered else 0
    log.flush()
    if ended.unanswered or ended.busy:
        if sys.stdout is not None:
            with suppress(OSError):
                sys.stdout.flush()
        os._exit(code)
    sys.exit(code)


def _serve(
    settings: ServerSettings,
    on_ready: Callable[[str], None],
    worker: Worker | None = None,
    shared: Path | None = None,
) -> Ended:
    """The one process, or one of several: `worker` is what its supervisor gave it, `shared` the folder they meet in."""
    from onnxpress.serving import sockets

    # At once, so that a port that is taken is said at once. None of them listens yet: see below.
    bound = sockets.bound(settings.address) if worker is None and settings.address.unix is None else []
    # numpy's BLAS runs nothing here; making its threads would cost 40 ms of the start.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    rehearsal: Rehearsal | None = None
    with _uncollected():
        if not settings.processes.isolate:
            # The import holds every thread for 50 ms: before anybody is there to be kept waiting.
            from onnxpress.serving.engine.runtime import onnxruntime

            onnxruntime()
            from onnxpress.serving.models.rehearsal import Rehearsal

            rehearsal = Rehearsal(settings.path, settings.models, settings.processes)
        from onnxpress.serving.handler import handler_of
        from onnxpress.serving.models.reloading import Reloader
        from onnxpress.serving.models.repository import Repository
        from onnxpress.serving.service import Service
        from onnxpress.serving.transports.lifetime import Lifetime, Occasions
        from onnxpress.serving.transports.loop_threads import LoopThreads
    repository = Repository(settings.path, settings.models, settings.processes, rehearsal)
    reloader = Reloader(repository)
    control = reloader if settings.models.model_control else None
    service = Service(repository, control=control, ready_when=settings.models.ready_when)
    metrics = None
    if shared is not None:
        from onnxpress.serving.metrics.over_workers import WorkerMetrics

        metrics = WorkerMetrics(shared, service)
    tracer = None
    if settings.answers.trace is not None or any(name.startswith(_COLLECTOR) for name in os.environ):
        from onnxpress.serving.tracing.starting import tracing

        tracer, service.exporting = tracing(settings.answers.trace, os.environ) or (None, None)
    handler = handler_of(service, settings, metrics, tracer)
    completing: list[Thread] = []

    def loaded() -> None:
        if repository.loader.incomplete:
            completing.append(_complete(reloader))
        if worker is None or worker.first:
            _say(repository)

    poll = settings.models.poll
    occasions = Occasions(
        on_ready=on_ready if worker is None else lambda _: worker.say_ready(),
        on_loaded=loaded,
        on_hangup=service.reload,
        watch=partial(reloader.watch, poll) if poll else None,
    )
    threads = LoopThreads()
    main = Lifetime(service, handler, settings, bound if worker is None else worker.sockets, occasions, worker)
    unanswered = _run(_among(metrics, main.run(threads)) if metrics is not None else main.run(threads))
    # What was cut off is not waited for.
    seconds = 0.0 if unanswered else min(_LAST_SECONDS, settings.limits.grace)
    with _ending():
        busy = threads.busy or not _close(repository, completing, _LEAST_SECONDS + seconds)
        if service.exporting is not None:
            service.exporting.close(_LEAST_SECONDS + seconds)
    return Ended(unanswered, busy)


@contextmanager
def _ending() -> Iterator[None]:
    """Signals that ask for the end change nothing here: it is under way, and takes no longer than it may."""
    before = [(number, signal.signal(number, signal.SIG_IGN)) for number in (signal.SIGTERM, signal.SIGINT)]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler or signal.SIG_DFL)


@contextmanager
def _uncollected() -> Iterator[None]:
    """What is made meanwhile stays, as modules do: the collector, a twentieth of the start, need not look for more."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


def _close(repository: Repository, completing: list[Thread], seconds: float) -> bool:
    """End the models and the threads that run them; False where one goes on, since nothing can interrupt it."""
    from threading import Thread

    closing = Thread(target=repository.close, daemon=True)
    try:
        closing.start()
    except RuntimeError:  # no thread can be had: then the process ends without
        return False
    until = time.monotonic() + seconds
    for thread in [closing, *completing]:
        thread.join(max(0.0, until - time.monotonic()))
    return not any(thread.is_alive() for thread in [closing, *completing])


def _complete(reloader: Reloader) -> Thread:
    """Do the rest of the loading beside the answering; a thread that need not be waited for at the end."""
    import asyncio
    from threading import Thread

    thread = Thread(target=reloader.complete, args=(asyncio.get_running_loop(),), daemon=True)
    thread.start()
    return thread


async def _among(metrics: WorkerMetrics, main: Coroutine[Any, Any, int]) -> int:
    await metrics.start()
    try:
        return await main
    finally:
        metrics.leave()


def _run(main: Coroutine[Any, Any, int]) -> int:
    found: list[int] = []
    raised: list[BaseException] = []

    async def kept() -> None:
        try:
            found.append(await main)
        except BaseException as error:
            raised.append(error)
            raise

    try:
        from uvloop import run
    except ModuleNotFoundError:  # Windows has none
        from asyncio import run
    try:
        run(kept())
    except RuntimeError:
        if raised:
            raise raised[0] from None
        if not found:
            raise
        # The loop's own end takes a thread for a moment; where none can be had, all was answered before.
    return found[0]


def _say(repository: Repository) -> None:
    for name, versions in repository.models.items():
        for version, served in versions.items():
            test = served.engine.self_test
            if test is not None:
                state = f"self-test {test.worst_multiple:.2g} of {test.limit:g} noise floors"
            else:
                state = "no golden samples to replay" if served.engine.manifest else "unverified: it has no manifest"
            log.say(f"serving {name} version {version} ({state})")
    for (name, version), reason in repository.failed.items():
        log.say(f"NOT serving {name} version {version}: {reason}")
    for path, reason in repository.skipped.items():
        log.say(f"skipped {path}: {reason}")

"""A server's life: listen, load, say ready, drain on the first signal, leave."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from onnxpress.serving import log
from onnxpress.serving.exchange import Handler
from onnxpress.serving.service import Service
from onnxpress.serving.settings import ServerSettings
from onnxpress.serving.transports.http import Server
from onnxpress.serving.transports.listening import listen
from onnxpress.serving.workers import Worker

_LAST_CALL_SECONDS = 0.2
_LARGEST_KEPT = 16 << 20
"""bytes of a block that malloc takes from its heap, of which twice as much may lie free; see `_keep_freed_memory`"""


async def run(
    service: Service,
    handler: Handler,
    settings: ServerSettings,
    *,
    on_ready: Callable[[str], None],
    watch: Callable[[], Coroutine[Any, Any, None]] | None = None,
    worker: Worker | None = None,
) -> int:
    """Serve until SIGTERM or SIGINT. `on_ready` gets the URL once every model is loaded, and `watch` runs from then on.

    The socket is open while models load: the server is live then, and not ready. After the first signal it is not ready
    again, finishes what it accepted within the grace time, and returns; a second signal cuts that short. Returns the
    number of connections left without an answer.

    A `worker` accepts from the socket that its supervisor gave it, but only once it is ready, since others answer
    meanwhile; it leaves when the supervisor is gone.
    """
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_say_unforeseen)
    server = Server(handler, settings.limits)
    listener = None
    if worker is None:
        listener, url = await listen(settings.address, server.connection)
    stop, cut = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            cut.set()
        service.leave()
        stop.set()

    def on_orphaned() -> None:
        assert worker is not None
        loop.remove_reader(worker.parent)
        on_signal()

    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, on_signal)
        except NotImplementedError:  # Windows: Ctrl-C ends the loop by KeyboardInterrupt
            break
    if worker is not None:
        loop.add_reader(worker.parent, on_orphaned)
    server.tick()
    # A thread of its own: the loop's default ones are waited for when the loop ends, and a load may take minutes.
    loader = ThreadPoolExecutor(1, thread_name_prefix="load")
    loading = loop.run_in_executor(loader, service.repository.load)
    stopped = loop.create_task(stop.wait())
    watching: asyncio.Task[None] | None = None
    either: list[asyncio.Future[Any]] = [loading, stopped]
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if loading.done():
            loading.result()
            # What is here now stays until the end; the collector need not walk it again and again.
            gc.freeze()
            _keep_freed_memory()
            if worker is not None:
                listener, url = await listen(settings.address, server.connection, worker.socket)
            on_ready(url)
            if watch is not None:
                watching = loop.create_task(watch())
            await stopped
    finally:
        loader.shutdown(wait=False)
        if watching is not None:
            watching.cancel()
        stopped.cancel()
        if listener is not None:
            listener.close()
            if settings.address.unix is not None:
                settings.address.unix.unlink(missing_ok=True)
        unanswered = await _drain(server, cut)
    return unanswered


def _say_unforeseen(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What no callback caught. asyncio's own word on it would wait for a reader of stderr."""
    error = context.get("exception")
    log.say(f"{context.get('message', 'an error')}: {type(error).__name__}: {error}")


def _keep_freed_memory() -> None:
    """Have malloc keep what large requests take, for the next one, instead of handing it back after each.

    The page faults of that were a fifth of the time of an image in JSON, or nothing, as the heap happened to lie. glibc
    takes blocks from its heap up to the largest one that was ever mapped and freed, and hands back what is free at the
    heap's end beyond twice that. So one block is asked for and freed, and none of its pages touched. Where
    MALLOC_TRIM_THRESHOLD_ or MALLOC_MMAP_THRESHOLD_ is set, or with another malloc, this does nothing.
    """
    np.empty(_LARGEST_KEPT, np.uint8)


async def _drain(server: Server, cut: asyncio.Event) -> int:
    """Wait for the answers that are owed, at most the grace time, or until a second signal."""
    # A client that has just connected, or whose next request is on its way, must not find the door shut: for a moment
    # requests are still taken, each as the last one of its connection.
    server.begin_draining()
    await asyncio.sleep(0)
    if server.connections and not cut.is_set():
        await asyncio.sleep(_LAST_CALL_SECONDS)
    idle = asyncio.Event()
    server.on_idle = idle.set
    server.drain()
    if server.owed:
        waits = [asyncio.ensure_future(idle.wait()), asyncio.ensure_future(cut.wait())]
        await asyncio.wait(waits, timeout=server.limits.grace, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
    unanswered = server.owed
    if unanswered:
        log.say(f"stopped with requests of {unanswered} connections unanswered")
    server.stop()
    await asyncio.sleep(0)
    return unanswered

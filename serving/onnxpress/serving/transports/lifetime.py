"""A server's life: listen, load, say ready, drain on the first signal, leave."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from onnxpress.core.errors import UsageError
from onnxpress.serving.service import Service
from onnxpress.serving.transports.http import Limits, Server
from onnxpress.serving.workers import Worker

_LAST_CALL_SECONDS = 0.2


async def run(
    service: Service,
    *,
    host: str,
    port: int,
    limits: Limits,
    on_ready: Callable[[str], None],
    worker: Worker | None = None,
) -> int:
    """Serve until SIGTERM or SIGINT. `on_ready` gets the URL once every model is loaded.

    The socket is open while models load: the server is live then, and not ready. After the first signal it is not ready
    again, finishes what it accepted within the grace time, and returns; a second signal cuts that short. Returns the
    number of connections left without an answer.

    A `worker` accepts from the socket that its supervisor gave it, but only once it is ready, since others answer
    meanwhile; it leaves when the supervisor is gone.
    """
    loop = asyncio.get_running_loop()
    server = Server(service, limits)
    listener = None if worker is not None else await _listen(server, host, port)
    stop, cut = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            cut.set()
        service.draining = True
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
    either: list[asyncio.Future[Any]] = [loading, stopped]
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if loading.done():
            loading.result()
            # What is here now stays until the end; the collector need not walk it again and again.
            gc.freeze()
            if worker is not None:
                listener = await loop.create_server(server.connection, sock=worker.socket)
            assert listener is not None
            address = listener.sockets[0].getsockname()
            shown = f"[{address[0]}]" if ":" in address[0] else address[0]
            on_ready(f"http://{shown}:{address[1]}")
            await stopped
    finally:
        loader.shutdown(wait=False)
        stopped.cancel()
        if listener is not None:
            listener.close()
        unanswered = await _drain(server, cut)
    return unanswered


async def _listen(server: Server, host: str, port: int) -> asyncio.Server:
    try:
        return await asyncio.get_running_loop().create_server(server.connection, host, port, backlog=2048)
    except OSError as error:
        hint = "choose another --port, or 0 for a free one"
        raise UsageError(f"cannot listen on {host}:{port}: {error.strerror}", hint=hint) from error


async def _drain(server: Server, cut: asyncio.Event) -> int:
    """Wait for the answers that are owed, at most the grace time, or until a second signal."""
    # A client that has just connected, or whose next request is on its way, must not find the door shut: for a moment
    # requests are still taken, each as the last one of its connection.
    for connection in server.connections:
        connection.draining, connection.flowing = True, False
    await asyncio.sleep(0)
    if server.connections and not cut.is_set():
        await asyncio.sleep(_LAST_CALL_SECONDS)
    idle = asyncio.Event()
    server.on_idle = idle.set
    server.drain()
    if server.owed:
        waits = [asyncio.ensure_future(idle.wait()), asyncio.ensure_future(cut.wait())]
        await asyncio.wait(waits, timeout=server.limits.grace_seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
    unanswered = server.owed
    if unanswered:
        print(f"stopped with requests of {unanswered} connections unanswered", file=sys.stderr)
    server.stop()
    await asyncio.sleep(0)
    return unanswered

"""A server's life: listen, load, say ready, drain on the first signal, leave."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import Callable
from typing import Any

from onnxpress.serving.service import Service
from onnxpress.serving.transports.http import Limits, Server
from onnxpress.serving.transports.listening import Address, listen


async def run(
    service: Service,
    *,
    address: Address,
    limits: Limits,
    on_ready: Callable[[str], None],
    poll_seconds: float = 0,
    model_control: bool = False,
) -> None:
    """Serve until SIGTERM or SIGINT. `on_ready` gets the URL once every model is loaded.

    `poll_seconds`: look for new versions so often; 0 for never. `model_control`: let callers load and unload models.

    The socket is open while models load: the server is live then, and not ready. After the first signal it is not ready
    again, finishes what it accepted within the grace time, and returns; a second signal cuts that short.
    """
    loop = asyncio.get_running_loop()
    server = Server(service, limits)
    service.connections = lambda: len(server.connections)
    listener, url = await listen(address, server.connection)
    stop, cut = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            cut.set()
        service.draining = True
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, on_signal)
        except NotImplementedError:  # Windows: Ctrl-C ends the loop by KeyboardInterrupt
            break
    server.tick()
    loading = loop.run_in_executor(None, service.repository.load)
    stopped = loop.create_task(stop.wait())
    watching: asyncio.Task[None] | None = None
    either: list[asyncio.Future[Any]] = [loading, stopped]
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if loading.done():
            loading.result()
            # What is here now stays until the end; the collector need not walk it again and again.
            gc.freeze()
            on_ready(url)
            if poll_seconds or model_control:
                from onnxpress.serving.keeper import Keeper

                keeper = Keeper(service)
                service.keeper = keeper if model_control else None
                watching = loop.create_task(keeper.watch(poll_seconds)) if poll_seconds else None
            await stopped
        else:
            await asyncio.wait([loading])  # a load cannot be broken off; what it raises does not matter any more
            loading.exception()
    finally:
        if watching is not None:
            watching.cancel()
        stopped.cancel()
        listener.close()
        if address.unix is not None:
            address.unix.unlink(missing_ok=True)
        await _drain(server, cut)


async def _drain(server: Server, cut: asyncio.Event) -> None:
    """Wait for the answers that are owed, at most the grace time, or until a second signal."""
    # What the kernel already holds for us counts as accepted: one more turn of the loop reads it.
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    idle = asyncio.Event()
    server.on_idle = idle.set
    server.drain()
    if server.owed:
        waits = [asyncio.ensure_future(idle.wait()), asyncio.ensure_future(cut.wait())]
        await asyncio.wait(waits, timeout=server.limits.grace_seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        if server.owed:
            print(f"stopped with requests of {server.owed} connections unanswered", file=sys.stderr)
    server.stop()
    await asyncio.sleep(0)

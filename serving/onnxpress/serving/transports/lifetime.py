"""A server's life: listen, load, say ready, drain on the first signal, leave."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from onnxpress.core.errors import UsageError
from onnxpress.serving import aside, log, sockets
from onnxpress.serving.exchange import Handler
from onnxpress.serving.service import Service
from onnxpress.serving.settings import ServerSettings
from onnxpress.serving.transports.http import Server
from onnxpress.serving.transports.listening import Listening, listen, listen_beside_others
from onnxpress.serving.transports.loop_threads import LoopThreads

if TYPE_CHECKING:
    from onnxpress.serving.workers import Worker

_LAST_CALL_SECONDS = 0.2
_LARGEST_KEPT = 16 << 20
"""bytes of a block that malloc takes from its heap, of which twice as much may lie free; see `_keep_freed_memory`"""


class Occasions(msgspec.Struct, kw_only=True):
    """What is to be done in the course of a server's life."""

    on_ready: Callable[[str], None]
    """gets the URL once the server is ready, or, where models failed, once loading is over"""
    on_loaded: Callable[[], None]
    """loading is over"""
    on_hangup: Callable[[], None]
    """SIGHUP has come, and the certificate is read again; a worker has none"""
    watch: Callable[[], Coroutine[Any, Any, None]] | None = None
    """runs from the end of loading on"""


class Lifetime:
    """One life of one server, from its `bound` sockets on.

    They are open while models load: the server is live then, and not ready. After the first signal it is not ready
    again, answers new callers for the drain delay, refuses them from then on, finishes what it accepted within the
    grace time, and ends; a second signal cuts that short.

    A `worker` accepts only once it is ready, since others answer meanwhile; it leaves when its supervisor is gone.
    """

    def __init__(
        self,
        service: Service,
        handler: Handler,
        settings: ServerSettings,
        bound: Sequence[socket.socket],
        occasions: Occasions,
        worker: Worker | None = None,
    ) -> None:
        self._service, self._settings, self._occasions, self._worker = service, settings, occasions, worker
        self._bound = list(bound)
        self._server = Server(handler, settings.limits)
        self._listening: Listening | None = None
        self._stop, self._cut, self._news = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._orphaned = False

    async def run(self, threads: LoopThreads) -> int:
        """Live; `threads` do what would hold the loop. Returns how many connections were left without an answer.

        Raises BadModel where nothing can be served, UsageError where it cannot be listened.
        """
        loop = asyncio.get_running_loop()
        loop.set_default_executor(threads)
        loop.set_exception_handler(_say_unforeseen)
        if self._worker is None:
            self._listening = await listen(self._settings.address, self._server, self._bound)
        self._handle_signals(loop)
        self._server.tick()
        aside.take_turns()
        placed: Callable[[], Any] = partial(loop.call_soon_threadsafe, self._news.set)
        loading = loop.run_in_executor(None, self._service.repository.load, placed)
        loading.add_done_callback(lambda _: self._news.set())
        watching: asyncio.Task[None] | None = None
        answering = False
        try:
            later = self._worker is not None and self._worker.later
            await self._until(lambda: loading.done() or (self._service.ready and not later))
            if not self._stop.is_set():
                if loading.done():
                    loading.result()
                await self._answer()
                answering = True
            await self._until(loading.done)
            if loading.done():
                loading.result()
            if not self._stop.is_set():
                # What is here now stays until the end; the collector need not walk it again and again.
                gc.freeze()
                _keep_freed_memory()
                self._occasions.on_loaded()
                if self._occasions.watch is not None:
                    watching = loop.create_task(self._occasions.watch())
                await self._stop.wait()
        finally:
            if watching is not None:
                watching.cancel()
            if answering:
                await self._delay()
            if self._listening is not None:
                await self._listening.close()
            unanswered = await _drain(self._server, self._cut)
        return unanswered

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Wait for it, or for the first signal."""
        while not condition() and not self._stop.is_set():
            await self._news.wait()
            self._news.clear()

    async def _answer(self) -> None:
        if self._worker is not None:
            self._listening = await listen_beside_others(
                self._settings.address, self._server, self._worker.sockets, self._worker.share
            )
        self._occasions.on_ready(sockets.url(self._settings.address, self._bound))

    async def _delay(self) -> None:
        """Let others learn that this server is not ready; nobody is left to learn it from one without a supervisor."""
        seconds = 0.0 if self._orphaned else self._settings.limits.drain_delay
        if self._stop.is_set() and seconds:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._cut.wait(), seconds)

    # --- signals

    def _handle_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        told = self._on_signal if self._worker is None else self._begin_to_leave
        handlers: dict[int, Callable[[], None]] = {signal.SIGTERM: told, signal.SIGINT: told}
        if self._worker is not None:
            handlers[self._worker.cut] = self._on_cut
        if self._worker is None and hasattr(signal, "SIGHUP"):
            handlers[signal.SIGHUP] = self._on_hangup
        for number, then in handlers.items():
            try:
                loop.add_signal_handler(number, then)
            except NotImplementedError:  # Windows: Ctrl-C ends the loop by KeyboardInterrupt
                break
        if self._worker is not None:
            loop.add_reader(self._worker.parent, self._on_orphaned)

    def _on_signal(self) -> None:
        if self._stop.is_set():
            self._cut.set()
        self._begin_to_leave()

    def _on_cut(self) -> None:
        self._cut.set()
        self._begin_to_leave()

    def _begin_to_leave(self) -> None:
        self._service.leave()
        self._stop.set()
        self._news.set()

    def _on_hangup(self) -> None:
        try:
            if self._listening is not None:
                self._listening.renew_certificate()
        except UsageError as error:
            log.say(f"the certificate stays as it was: {error}")
        self._occasions.on_hangup()

    def _on_orphaned(self) -> None:
        assert self._worker is not None
        asyncio.get_running_loop().remove_reader(self._worker.parent)
        self._orphaned = True
        self._begin_to_leave()


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
    with contextlib.suppress(MemoryError):  # where there is so little, there is nothing to keep
        np.empty(_LARGEST_KEPT, np.uint8)


async def _drain(server: Server, cut: asyncio.Event) -> int:
    """Wait for the answers that are owed, at most the grace time, or until a second signal."""
    # A client that has just connected, or whose next request is on its way, must not find the door shut: for a moment
    # requests are still taken, each as the last one of its connection.
    last_call = min(_LAST_CALL_SECONDS, server.limits.grace)
    server.begin_draining()
    await asyncio.sleep(0)
    if server.connections and not cut.is_set():
        await asyncio.sleep(last_call)
    idle = asyncio.Event()
    server.on_idle = idle.set
    server.drain()
    if server.owed:
        waits = [asyncio.ensure_future(idle.wait()), asyncio.ensure_future(cut.wait())]
        await asyncio.wait(waits, timeout=server.limits.grace - last_call, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
    unanswered = server.owed
    if unanswered:
        log.say(f"stopped with requests of {unanswered} connections unanswered")
    server.stop()
    await asyncio.sleep(0)
    return unanswered

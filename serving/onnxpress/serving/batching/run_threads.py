"""A model's threads, in which its long runs do not hold the event loop; and the watch over the run in each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from functools import partial
from threading import get_ident
from typing import TypeVar

from onnxpress.serving.engine import Engine
from onnxpress.serving.exchange import Exchange
from onnxpress.serving.protocol.strictness import strict

T = TypeVar("T")

_WATCH_SECONDS = 1.0
"""how often a run is looked at: whether it takes too long, or all its callers have gone"""


class RunThreads:
    """For one engine: so many calls at a time, each in a thread that is made when it is first needed."""

    def __init__(self, engine: Engine, count: int = 1) -> None:
        self._free = [_RunThread(engine) for _ in range(count)]
        self._all = tuple(self._free)

    @property
    def free(self) -> int:
        """How many calls could be done at once."""
        return len(self._free)

    @property
    def idle(self) -> bool:
        """Whether nothing is being done."""
        return len(self._free) == len(self._all)

    def call(
        self,
        work: Callable[[], T],
        exchanges: Sequence[Exchange],
        then: Callable[[asyncio.Future[T]], None],
        context: Context,
    ) -> None:
        """Do `work` in a free thread, and `then` on the loop in that context.

        A limited run in it is ended when it takes longer than the engine's limit, or when all of `exchanges` are gone.
        """
        thread = self._free[-1]
        done = thread.begin(work, exchanges, context)
        self._free.pop()
        done.add_done_callback(partial(self._freed, thread), context=context)
        done.add_done_callback(then, context=context)

    def _freed(self, thread: _RunThread, _: object) -> None:
        self._free.append(thread)

    def close(self) -> None:
        """End the threads; runs under way are finished first."""
        for thread in self._all:
            thread.close()


class _RunThread:
    """One call at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._executor: ThreadPoolExecutor | None = None
        self._context: Context | None = None
        self._watching: asyncio.TimerHandle | None = None
        self._identity = 0

    def begin(self, work: Callable[[], T], exchanges: Sequence[Exchange], context: Context) -> asyncio.Future[T]:
        if self._executor is None or self._context is None:
            self._executor = ThreadPoolExecutor(
                1, thread_name_prefix=self._engine.name, initializer=self._remember_identity
            )
            self._context = strict()
        loop = asyncio.get_running_loop()
        done = loop.run_in_executor(self._executor, partial(self._context.run, work))
        self._watch(loop, exchanges)
        done.add_done_callback(self._unwatch, context=context)
        return done

    def _remember_identity(self) -> None:
        self._identity = get_ident()

    def close(self) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=True)

    def _watch(self, loop: asyncio.AbstractEventLoop, exchanges: Sequence[Exchange]) -> None:
        seconds = min(_WATCH_SECONDS, self._engine.run_limit / 2)
        self._watching = loop.call_later(seconds, self._look, loop, exchanges)

    def _look(self, loop: asyncio.AbstractEventLoop, exchanges: Sequence[Exchange]) -> None:
        limit = 0.0 if all(exchange.gone for exchange in exchanges) else None
        self._engine.end_long_run(limit, thread=self._identity)
        self._watch(loop, exchanges)

    def _unwatch(self, _: object) -> None:
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None

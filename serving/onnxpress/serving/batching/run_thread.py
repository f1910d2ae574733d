"""A model's thread, in which its long runs do not hold the event loop; and the watch over the run in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from functools import partial
from typing import TypeVar

from onnxpress.serving.engine import Engine
from onnxpress.serving.exchange import Exchange
from onnxpress.serving.protocol.strictness import strict

T = TypeVar("T")

_WATCH_SECONDS = 1.0
"""how often a run is looked at: whether it takes too long, or all its callers have gone"""


class RunThread:
    """For one engine, and one call at a time. The thread is made when it is first needed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._executor: ThreadPoolExecutor | None = None
        self._context: Context | None = None
        self._watching: asyncio.TimerHandle | None = None

    def call(
        self,
        work: Callable[[], T],
        exchanges: Sequence[Exchange],
        then: Callable[[asyncio.Future[T]], None],
        context: Context,
    ) -> None:
        """Do `work` in the thread, and `then` on the loop in that context.

        A limited run in it is ended when it takes longer than the engine's limit, or when all of `exchanges` are gone.
        """
        if self._executor is None or self._context is None:
            self._executor = ThreadPoolExecutor(1, thread_name_prefix=self._engine.name)
            self._context = strict()
        loop = asyncio.get_running_loop()
        done = loop.run_in_executor(self._executor, partial(self._context.run, work))
        self._watch(loop, exchanges)
        done.add_done_callback(self._unwatch, context=context)
        done.add_done_callback(then, context=context)

    def close(self) -> None:
        """End the thread, if there is one; a run under way is finished first."""
        if self._executor is not None:
            self._executor.shutdown(wait=True)

    def _watch(self, loop: asyncio.AbstractEventLoop, exchanges: Sequence[Exchange]) -> None:
        seconds = min(_WATCH_SECONDS, self._engine.run_limit / 2)
        self._watching = loop.call_later(seconds, self._look, loop, exchanges)

    def _look(self, loop: asyncio.AbstractEventLoop, exchanges: Sequence[Exchange]) -> None:
        self._engine.end_long_run(0.0 if all(exchange.gone for exchange in exchanges) else None)
        self._watch(loop, exchanges)

    def _unwatch(self, _: object) -> None:
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None

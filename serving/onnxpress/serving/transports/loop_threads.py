"""The threads that do for an event loop what would hold it, and that nobody waits for at the end."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class LoopThreads(ThreadPoolExecutor):
    """A loop's default executor. Loading a model may take minutes, and a server that ends has no use for it.

    >>> threads = LoopThreads()
    >>> threads.submit(int, "7").result(), threads.busy
    (7, False)
    """

    def __init__(self) -> None:
        super().__init__(thread_name_prefix="onnxpress")
        self._under_way: set[Future[Any]] = set()

    @property
    def busy(self) -> bool:
        """Whether one of them is at something; Python's own exit would wait for it."""
        return any(not future.done() for future in self._under_way)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """See Executor."""
        future = super().submit(fn, *args, **kwargs)
        self._under_way.add(future)
        future.add_done_callback(self._under_way.discard)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """See Executor; however it is asked, which the loop does at its end, this does not wait."""
        super().shutdown(wait=False, cancel_futures=True)

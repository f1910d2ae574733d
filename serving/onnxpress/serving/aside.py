"""What takes long and is no run of a model: large bodies read, unpacked and packed in a thread beside the event loop.

One thread for the whole process, one piece of work after the other: the memory that reading takes beyond what is held
is that of one body. Python runs one thread at a time, so the work must be made of short steps for the loop to have its
turns between them; see `protocol.large`.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sys
import threading
from collections.abc import Callable
from typing import Any

from onnxpress.serving.protocol.strictness import strict

_SWITCH_SECONDS = 0.001
"""after which the loop, when it has something to do, gets its turn; Python's own 0.005 would be felt in every answer"""
_QUIET_SECONDS = 3.0
"""without work, after which what large bodies took is given back"""

Then = Callable[[Any, "BaseException | None"], None]
"""gets what came of the work, or what it raised"""
_work: queue.SimpleQueue[tuple[asyncio.AbstractEventLoop, Callable[[], Any], Then]] = queue.SimpleQueue()
_thread: threading.Thread | None = None


def take_turns() -> None:
    """From now on, whichever thread has waited for a moment gets its turn: the loop too, beside models that load."""
    sys.setswitchinterval(min(sys.getswitchinterval(), _SWITCH_SECONDS))


def call(work: Callable[[], Any], then: Then) -> None:
    """Do `work` in the thread, where numpy raises on overflow, and `then` on this loop."""
    global _thread
    loop = asyncio.get_running_loop()
    if _thread is None:
        take_turns()
        # Nobody waits for it at the end: who is left without an answer then is told by the connection's end.
        thread = threading.Thread(target=_go, name="large bodies", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # none can be had now; the next time, perhaps
            loop.call_soon(then, None, error)
            return
        _thread = thread
    _work.put((loop, work, then))


def _go() -> None:
    context = strict()
    while True:
        _do(context.run, *_work.get())
        with contextlib.suppress(queue.Empty):
            while True:
                _do(context.run, *_work.get(timeout=_QUIET_SECONDS))
        with contextlib.suppress(BaseException):  # no memory for that, of all things: the thread must not end
            from onnxpress.core import memory

            memory.give_back()  # of what malloc keeps, see `lifetime` for why it does; other threads go on meanwhile


def _do(run: Callable[..., Any], loop: asyncio.AbstractEventLoop, work: Callable[[], Any], then: Then) -> None:
    found, raised = None, None
    try:
        found = run(work)
    except BaseException as error:  # no memory, say: its caller is told, and the next one has its turn
        raised = error
        raised.__traceback__ = None  # it would hold the body
    try:
        loop.call_soon_threadsafe(then, found, raised)
    except RuntimeError:  # the loop has ended
        return

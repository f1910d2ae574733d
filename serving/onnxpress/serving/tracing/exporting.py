"""Traced requests sent to a collector by a thread: nobody waits for it; what it cannot send is counted and lost."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

from onnxpress.serving import log
from onnxpress.serving.tracing.tracer import Traced

_AT_A_TIME = 256
"""requests in one message, of six spans each"""


class Exporting:
    """`send` sends some, and raises what goes wrong. At most `most` wait; they are sent every `delay` seconds."""

    def __init__(self, send: Callable[[Sequence[Traced]], None], *, most: int, delay: float) -> None:
        self._send, self._most, self._delay = send, most, delay
        self._waiting: deque[Traced] = deque()
        self._wake = threading.Event()
        self._closing = self._failing = False
        self._thread: threading.Thread | None = None
        self.sent = self.lost = 0
        """requests"""
        self._sent_badly = 0

    @property
    def dropped(self) -> int:
        """Requests whose spans nobody gets."""
        return self.lost + self._sent_badly

    def put(self, traced: Traced) -> None:
        """One more, or none where too many wait. On the event loop's thread."""
        count = len(self._waiting)
        if count >= self._most:
            self.lost += 1
            return
        self._waiting.append(traced)
        if self._thread is None:
            # Nobody waits for it at the end but `close`.
            thread = threading.Thread(target=self._go, name="traces", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # none can be had now; the next request tries again
                return
            self._thread = thread
        if count + 1 == min(_AT_A_TIME, self._most):
            self._wake.set()

    def close(self, seconds: float) -> None:
        """Send what waits, for so many seconds at most."""
        self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(seconds)

    def _go(self) -> None:
        while not self._closing:
            self._wake.wait(self._delay)
            self._wake.clear()
            while self._waiting:
                self._send_some()

    def _send_some(self) -> None:
        some = [self._waiting.popleft() for _ in range(min(_AT_A_TIME, len(self._waiting)))]
        try:
            self._send(some)
        except Exception as error:
            self._sent_badly += len(some)
            if not self._failing:
                self._failing = True
                log.say(f"traces cannot be sent, and are lost: {error}")
        else:
            self.sent += len(some)
            if self._failing:
                self._failing = False
                log.say(f"traces are sent again; {self.dropped} traced requests were lost so far")

"""One request on its way to its route."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

import msgspec

from onnxpress.serving.batching.reading import Read
from onnxpress.serving.exchange import Exchange, Headers
from onnxpress.serving.protocol.refusal import Refusal, error_body
from onnxpress.serving.timing import Trace

_SHOWN = 200
_WORKING: set[asyncio.Task[None]] = set()
"""what is being done for callers; the loop itself would forget it"""


class Call(msgspec.Struct, frozen=True):
    """Method, decoded path and body, where the answer goes, and how the body is read if it is not V2 JSON.

    `seconds`: how long an answer is of use to the caller, as far as the headers say. `trace`: what is timed for him.
    """

    method: bytes
    path: str
    body: bytes
    exchange: Exchange
    read: Read | None = None
    seconds: float | None = None
    trace: Trace | None = None

    def allow(self, *methods: bytes) -> None:
        """Refuse every other method; HEAD is allowed where GET is."""
        allowed = (*methods, b"HEAD") if b"GET" in methods else methods
        if self.method not in allowed:
            listed = b", ".join(allowed)
            raise Refusal(405, f"{self.path[:_SHOWN]} answers {listed.decode()} only", ((b"allow", listed),))

    def answer(self, body: bytes, status: int = 200, headers: Headers = ()) -> None:
        """Send the answer."""
        self.exchange.respond(status, body, headers)

    def later(self, what: str, work: Coroutine[None, None, bytes]) -> None:
        """Answer with what `work` returns once it is done, or with the Refusal that it raises."""

        async def answer() -> None:
            try:
                body = await work
            except Refusal as refusal:
                self.answer(refusal.body(), refusal.status)
            except Exception as error:  # the caller must not wait for ever
                self.answer(error_body(f"{what} failed: {type(error).__name__}"), 500)
            else:
                self.answer(body)

        task = asyncio.get_running_loop().create_task(answer())
        _WORKING.add(task)
        task.add_done_callback(_WORKING.discard)

    def nothing_here(self, hint: str = "") -> Refusal:
        """The refusal for a path that leads nowhere."""
        return Refusal(404, f"there is nothing at {self.path[:_SHOWN]}{hint}")

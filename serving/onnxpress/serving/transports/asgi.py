"""The service as an ASGI application, for mounting in other servers: `app = asgi.application("models/")`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

from onnxpress.core.errors import UsageError
from onnxpress.serving.exchange import GRPC, Handler, Headers, fail, no_room
from onnxpress.serving.handler import handler_of
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.protocol.refusal import error_body
from onnxpress.serving.service import Service
from onnxpress.serving.settings import Address, ConnectionLimits, ModelSettings, ProcessSettings, ServerSettings
from onnxpress.serving.transports.held import HeldBytes
from onnxpress.serving.transports.request_head import negotiates
from onnxpress.serving.transports.response import complete

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]


_LIVE = "/v2/health/live"


class _Exchange:
    """The answer as a future that the ASGI call awaits; and what the call holds of what all may hold."""

    def __init__(self, held: HeldBytes) -> None:
        self.answer: asyncio.Future[tuple[int, bytes, Headers]] = asyncio.get_running_loop().create_future()
        self.gone = False
        self._held, self._taken = held, 0

    def hold(self, size: int) -> bool:
        if not self._held.take(size):
            return False
        self._taken += size
        return True

    def holds(self, size: int) -> None:
        """From now on it holds so many bytes, whether or not there is room: they are there."""
        self._held.taken += size - self._taken
        self._taken = size

    def respond(self, status: int, body: bytes, headers: Headers = ()) -> None:
        if not self.answer.done():  # the caller may have gone
            self.answer.set_result((status, body, headers))


class _Mounted:
    """The service, and the one load that the first callers share."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._loading: asyncio.Future[None] | None = None

    def begin(self) -> asyncio.Future[None]:
        """The load, which this begins where nobody has."""
        if self._loading is None:
            self._loading = asyncio.get_running_loop().run_in_executor(None, self.service.repository.load)
        return self._loading

    async def load(self) -> None:
        if not self.service.repository.ready:
            await asyncio.shield(self.begin())  # a caller that goes away must not take the load with it


def application(
    path: str | Path,
    models: ModelSettings = ModelSettings(),
    processes: ProcessSettings = ProcessSettings(),
    *,
    max_body: int = ConnectionLimits().max_body,
    max_held: int = ConnectionLimits().max_held,
) -> Application:
    """An ASGI 3 application that serves the models at `path`; a body may have `max_body` bytes.

    All bodies that are read, wait or run hold `max_held` bytes at most, also unpacked and as arrays, with the answers
    that the host has not taken; who would hold more is answered 503.

    Models are loaded at the lifespan's start, or at the first request where the host has no lifespan. The host's own
    processes share the CPUs: `processes.workers` is how many there are. Below a prefix (`Mount("/ml", app)`) the
    protocol's paths follow it. Raises UsageError for `poll` and `model_control`, as nothing is loaded after the start;
    a start without a model that can be loaded fails with BadModel's words.

    >>> app = onnxpress.asgi_app("models")
    >>> async def ask():
    ...     async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as client:
    ...         return (await client.get("/v2/models/iris/ready")).json()
    >>> asyncio.run(ask())
    {'ready': True}
    """
    if models.poll or models.model_control:
        raise UsageError("poll and model_control are for onnxpress serve: an application loads at its start alone")
    service = Service(Repository(Path(path), models, processes), ready_when=models.ready_when)
    mounted = _Mounted(service)
    # Who can reach the server that it is mounted in is not known here: no page, as where it listens everywhere.
    everywhere = Address(host=("0.0.0.0",))
    handler = handler_of(service, ServerSettings(address=everywhere, limits=ConnectionLimits(max_body=max_body)))
    held = HeldBytes(max_held)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(mounted, receive, send)
        elif scope["type"] == "http":
            if scope["path"].endswith(_LIVE):
                # Whether it is live is not a question of what is loaded.
                if not service.repository.ready:
                    mounted.begin()
            else:
                await mounted.load()
            exchange = _Exchange(held)
            try:
                await _http(handler, max_body, exchange, scope, receive, send)
            finally:
                exchange.holds(0)
        else:
            raise ValueError(f"there is no {scope['type']} here, only http")

    return app


async def _http(
    handler: Handler, max_body: int, exchange: _Exchange, scope: Message, receive: Receive, send: Send
) -> None:
    body, length, more = BytesIO(), 0, True  # not a list: hosts may hand over a byte at a time
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        part = message.get("body", b"")
        length += len(part)
        more = message.get("more_body", False)
        if length > max_body:
            exchange.respond(413, error_body(f"the body is larger than {max_body} bytes"))
            break
        if not exchange.hold(len(part)):
            no_room(exchange)
            break
        body.write(part)
    else:
        # Mounted below a prefix, the path that counts is what follows it.
        target = _below(scope.get("root_path", ""), scope.get("raw_path") or scope["path"].encode())
        read: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            # Given twice it is not one thing to go by: what a comma makes is refused.
            if name in handler.headers_read or negotiates(name, target):
                read[name] = read[name] + b", " + value if name in read else value
        try:
            method = scope["method"].encode()
            # A caller must not name the method that stands for a gRPC call, which may be answered more than once.
            handler.submit_with(read, method.lower() if method == GRPC else method, target, body.getvalue(), exchange)
        except Exception as error:
            if not exchange.answer.done():
                fail(exchange, error, "a request")
    watching = asyncio.ensure_future(_watch(exchange, receive))
    try:
        status, answer, extra = await exchange.answer
    finally:
        watching.cancel()
    if status != 200:
        handler.traffic.errors[status] += 1
    exchange.holds(len(answer))
    headers = complete(extra, status, len(answer))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer})


def _below(root: str, target: bytes) -> bytes:
    """The path that follows the prefix; hosts hand the prefix over decoded, and the path as it was sent."""
    for prefix in (root.encode(), quote(root).encode()) if root else ():
        if target.startswith(prefix + b"/"):
            return target[len(prefix) :]
    return target


async def _watch(exchange: _Exchange, receive: Receive) -> None:
    """Mark the exchange once its caller has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    exchange.gone = True


async def _lifespan(mounted: _Mounted, receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            try:
                await mounted.load()
            except Exception as error:
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
            await send({"type": "lifespan.startup.complete"})
        else:
            mounted.service.leave()
            mounted.service.repository.close()
            await send({"type": "lifespan.shutdown.complete"})
            return

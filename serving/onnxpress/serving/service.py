"""What every transport talks to: a request's method, path, headers and body in, its answer to an exchange. No I/O."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote_to_bytes

from onnxpress.serving.batcher import Read
from onnxpress.serving.exchange import Exchange
from onnxpress.serving.models.repository import Repository, Served
from onnxpress.serving.protocol.refusal import Refusal
from onnxpress.serving.protocol.timeouts import deadline_of
from onnxpress.serving.routes import v1, v2
from onnxpress.serving.routes.call import Call

if TYPE_CHECKING:
    from onnxpress.serving.metrics.collected import Family
    from onnxpress.serving.metrics.over_workers import Peers
    from onnxpress.serving.middleware.tokens import Tokens
    from onnxpress.serving.models.reloading import Keeper

_JSON_LENGTH = b"inference-header-content-length"
_ENCODING, _ACCEPTED, _AUTHORIZATION = b"content-encoding", b"accept-encoding", b"authorization"
_DEADLINE = b"x-envoy-expected-rq-timeout-ms"


class Front(Protocol):
    """What a transport sees: a service, or something that stands before one."""

    headers_read: frozenset[bytes]
    """lower-case names of the headers that submit_with wants to see"""
    errors: Counter[int]
    """answers other than 200 by status, counted by the transport"""

    def submit(self, method: bytes, target: bytes, body: bytes, exchange: Exchange, alone: bool = False) -> None:
        """Answer one request, now or at the end of this turn of the loop. `target` is the path as it was sent.

        `alone` says that no other request can arrive in this turn, so that there is nothing to wait for.
        """

    def submit_with(
        self, headers: Mapping[bytes, bytes], method: bytes, target: bytes, body: bytes, exchange: Exchange
    ) -> None:
        """`submit` for a request that has some of the headers in `headers_read`."""


class Service:
    """The protocols over a repository. `compress_from`: answers of so many bytes are packed for those who accept it."""

    def __init__(self, repository: Repository, *, max_body: int = 64 << 20, compress_from: int | None = None) -> None:
        self.repository = repository
        self.draining = False
        self.errors: Counter[int] = Counter()
        self.connections: Callable[[], int] = lambda: 0
        """how many are open; the transport knows"""
        packs = {_ACCEPTED} if compress_from is not None else set()
        self.headers_read = frozenset({_ENCODING, _JSON_LENGTH, _DEADLINE} | packs)
        self.keeper: Keeper | None = None
        """who loads and unloads models for callers; nobody unless model control is on"""
        self.changes: set[asyncio.Task[None]] = set()
        self.peers: Peers | None = None
        """the other workers, where there are several"""
        self._max_body, self._compress_from = max_body, compress_from
        self._infer: dict[bytes, Served] = {}

    def submit(self, method: bytes, target: bytes, body: bytes, exchange: Exchange, alone: bool = False) -> None:
        """See Front."""
        served = self._infer.get(target)
        if served is not None and method == b"POST":
            served.batcher.submit(body, exchange, alone)
            return
        self._route(method, target, body, exchange)

    def submit_with(
        self, headers: Mapping[bytes, bytes], method: bytes, target: bytes, body: bytes, exchange: Exchange
    ) -> None:
        """See Front."""
        try:
            if _ENCODING in headers:
                from onnxpress.serving.middleware.compression import unpack

                body = unpack(headers[_ENCODING], body, self._max_body)
            read = _binary(headers[_JSON_LENGTH]) if _JSON_LENGTH in headers else None
            seconds = deadline_of(headers[_DEADLINE]) if _DEADLINE in headers else None
        except Refusal as refusal:
            exchange.respond(refusal.status, refusal.body(), refusal.headers)
            return
        if self._compress_from is not None and _ACCEPTED in headers:
            from onnxpress.serving.middleware.compression import Packed, accepts_gzip

            if accepts_gzip(headers[_ACCEPTED]):
                exchange = Packed(exchange, self._compress_from)
        served = self._infer.get(target)
        if served is not None and method == b"POST":
            served.batcher.submit(body, exchange, read=read, seconds=seconds)
        else:
            self._route(method, target, body, exchange, read, seconds)

    @property
    def ready(self) -> bool:
        """Whether requests are welcome: everything is loaded, and the server is not on its way out."""
        return self.repository.ready and not self.draining

    def learn(self) -> None:
        """Index the plain spelling of every inference path, so that the usual request needs one look-up."""
        if self._infer:
            return
        for name, versions in self.repository.models.items():
            path = f"/v2/models/{name}".encode()
            self._infer[path + b"/infer"] = versions[max(versions)]
            for version, served in versions.items():
                served.batcher.callers = self.connections
                self._infer[b"%b/versions/%d/infer" % (path, version)] = served
            for label, version in self.repository.labels.get(name, {}).items():
                if version in versions:
                    self._infer[b"%b/versions/%b/infer" % (path, label.encode())] = versions[version]

    def forget(self) -> None:
        """Drop the index: the repository holds other models now."""
        self._infer = {}

    def _route(
        self,
        method: bytes,
        target: bytes,
        body: bytes,
        exchange: Exchange,
        read: Read | None = None,
        seconds: float | None = None,
    ) -> None:
        path = unquote_to_bytes(_origin_form(target).partition(b"?")[0]).decode("utf-8", "replace")
        call = Call(method, path, body, exchange, read, seconds)
        try:
            match path.strip("/").split("/"):
                case ["v2", *rest]:
                    v2.route(self, call, rest)
                case ["v1", *rest]:
                    v1.route(self, call, rest)
                case ["metrics"]:
                    call.allow(b"GET")
                    self._metrics(call)
                case _:
                    raise call.nothing_here("; the protocol's root is /v2")
        except Refusal as refusal:
            exchange.respond(refusal.status, refusal.body(), refusal.headers)

    def _metrics(self, call: Call) -> None:
        from onnxpress.serving.metrics import collected

        headers = ((b"content-type", collected.CONTENT_TYPE),)
        self.with_metrics(lambda families: call.answer(collected.text(families), headers=headers))

    def with_metrics(self, then: Callable[[list[Family]], None]) -> None:
        """Call `then` with the metrics: now, or once the other workers have told theirs."""
        from onnxpress.serving.metrics import collected

        peers = self.peers
        if peers is None:
            then(collected.families(self))
            return

        async def gather() -> None:
            then(await peers.families())

        task = asyncio.get_running_loop().create_task(gather())
        self.changes.add(task)
        task.add_done_callback(self.changes.discard)


class Guarded(Service):
    """A service that answers only those who show a token; how it is doing is no secret."""

    def __init__(
        self, repository: Repository, tokens: Tokens, *, max_body: int = 64 << 20, compress_from: int | None = None
    ) -> None:
        super().__init__(repository, max_body=max_body, compress_from=compress_from)
        self.headers_read |= {_AUTHORIZATION}
        self._tokens = tokens

    def submit(self, method: bytes, target: bytes, body: bytes, exchange: Exchange, alone: bool = False) -> None:
        """As Service.submit, for a request without any of the headers: it shows no token."""
        self.submit_with({}, method, target, body, exchange)

    def submit_with(
        self, headers: Mapping[bytes, bytes], method: bytes, target: bytes, body: bytes, exchange: Exchange
    ) -> None:
        """As Service.submit_with, once the token is checked."""
        if target not in (b"/v2/health/live", b"/v2/health/ready"):
            try:
                self._tokens.check(headers.get(_AUTHORIZATION))
            except Refusal as refusal:
                exchange.respond(refusal.status, refusal.body(), refusal.headers)
                return
        super().submit_with(headers, method, target, body, exchange)


def _origin_form(target: bytes) -> bytes:
    """`/v2` of `http://host/v2`, the form that clients send to proxies and that servers must take (RFC 9112, 3.2.2)."""
    if target[:7].lower() == b"http://":
        return b"/" + target[7:].partition(b"/")[2]
    return target


def _binary(json_length: bytes) -> Read:
    """How the body of a request with binary tensors is read, by its Inference-Header-Content-Length."""
    if not json_length.isdigit() or len(json_length) > 18:
        raise Refusal(400, "Inference-Header-Content-Length must be the number of bytes that are JSON")
    length = int(json_length)
    return lambda reader, body: reader.read_binary(body, length)

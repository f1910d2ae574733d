"""The V2 REST protocol over a repository: a request's method, path and body in, its answer to an exchange. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

import msgspec

from onnxpress.serving.batcher import Exchange
from onnxpress.serving.protocol import metadata
from onnxpress.serving.protocol.errors import Refusal
from onnxpress.serving.repository import Repository, Served


class Service:
    """What every transport talks to."""

    headers_read: frozenset[bytes] = frozenset({b"content-encoding"})
    """lower-case names of the headers that submit_with wants to see"""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self.draining = False
        self._infer: dict[bytes, Served] = {}

    def submit(self, method: bytes, target: bytes, body: bytes, exchange: Exchange) -> None:
        """Answer one request, now or at the end of this turn of the loop. `target` is the path as it was sent."""
        served = self._infer.get(target)
        if served is not None and method == b"POST":
            served.batcher.submit(body, exchange)
            return
        try:
            self._route(method, target, body, exchange)
        except Refusal as refusal:
            exchange.respond(refusal.status, refusal.body(), refusal.headers)

    def submit_with(
        self, headers: Mapping[bytes, bytes], method: bytes, target: bytes, body: bytes, exchange: Exchange
    ) -> None:
        """`submit` for a request that has some of the headers in `headers_read`."""
        encoding = headers.get(b"content-encoding", b"identity").lower()
        if encoding != b"identity":
            refusal = Refusal(415, f"the content encoding {encoding.decode('latin-1')!r} is not read here")
            exchange.respond(refusal.status, refusal.body(), refusal.headers)
            return
        self.submit(method, target, body, exchange)

    @property
    def ready(self) -> bool:
        """Whether requests are welcome: everything is loaded, and the server is not on its way out."""
        return self.repository.ready and not self.draining

    def _route(self, method: bytes, target: bytes, body: bytes, exchange: Exchange) -> None:
        path = unquote_to_bytes(target.partition(b"?")[0]).decode("utf-8", "replace")
        match path.strip("/").split("/"):
            case ["v2"]:
                _allow(method, b"GET", path)
                exchange.respond(200, metadata.server())
            case ["v2", "health", "live"]:
                _allow(method, b"GET", path)
                exchange.respond(200, _said("live", True))
            case ["v2", "health", "ready"]:
                _allow(method, b"GET", path)
                exchange.respond(200 if self.ready else 503, _said("ready", self.ready))
            case ["v2", "models", name, *rest]:
                self._model(method, name, rest, path, body, exchange)
            case _:
                raise Refusal(404, f"there is nothing at {path}; the protocol's root is /v2")

    def _model(self, method: bytes, name: str, rest: list[str], path: str, body: bytes, exchange: Exchange) -> None:
        version = None
        if len(rest) >= 2 and rest[0] == "versions":
            version, rest = rest[1], rest[2:]
        if not self.repository.ready:
            raise Refusal(503, "the models are still being loaded")
        match rest:
            case []:
                _allow(method, b"GET", path)
                served = self.repository.find(name, version)
                versions = sorted(self.repository.models[name])
                exchange.respond(200, metadata.model(name, versions, served.engine))
            case ["ready"]:
                _allow(method, b"GET", path)
                self.repository.find(name, version)
                exchange.respond(200 if self.ready else 503, _said("ready", self.ready))
            case ["infer"]:
                _allow(method, b"POST", path)
                served = self.repository.find(name, version)
                if not self._infer:
                    self._infer = _index(self.repository)
                served.batcher.submit(body, exchange)
            case _:
                raise Refusal(404, f"there is nothing at {path}")


def _index(repository: Repository) -> dict[bytes, Served]:
    """The plain spelling of every inference path → its model, so that the usual request needs one look-up."""
    found = {}
    for name, versions in repository.models.items():
        path = f"/v2/models/{name}".encode()
        found[path + b"/infer"] = versions[max(versions)]
        for version, served in versions.items():
            found[b"%b/versions/%d/infer" % (path, version)] = served
    return found


def _allow(method: bytes, allowed: bytes, path: str) -> None:
    if method != allowed and not (allowed == b"GET" and method == b"HEAD"):
        methods = b"GET, HEAD" if allowed == b"GET" else allowed
        raise Refusal(405, f"{path} answers {methods.decode()} only", ((b"allow", methods),))


def _said(name: str, value: bool) -> bytes:
    return msgspec.json.encode({name: value})

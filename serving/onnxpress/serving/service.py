"""The V2 REST protocol over a repository: a request's method, path and body in, its answer to an exchange. No I/O."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

import msgspec

from onnxpress.serving.batcher import Exchange
from onnxpress.serving.protocol import metadata
from onnxpress.serving.protocol.errors import Refusal
from onnxpress.serving.repository import Repository, Served

_SHOWN = 200


class Service:
    """What every transport talks to."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self.draining = False
        self._infer: dict[bytes, Served] = {}

    def submit(self, method: bytes, target: bytes, body: bytes, exchange: Exchange, alone: bool = False) -> None:
        """Answer one request, now or at the end of this turn of the loop. `target` is the path as it was sent.

        `alone` says that no other request can arrive in this turn, so that there is nothing to wait for.
        """
        served = self._infer.get(target)
        if served is not None and method == b"POST":
            served.batcher.submit(body, exchange, alone)
            return
        try:
            self._route(method, target, body, exchange)
        except Refusal as refusal:
            exchange.respond(refusal.status, refusal.body(), refusal.headers)

    @property
    def ready(self) -> bool:
        """Whether requests are welcome: everything is loaded, and the server is not on its way out."""
        return self.repository.ready and not self.draining

    def _route(self, method: bytes, target: bytes, body: bytes, exchange: Exchange) -> None:
        path = unquote_to_bytes(_origin_form(target).partition(b"?")[0]).decode("utf-8", "replace")
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
                raise Refusal(404, f"there is nothing at {path[:_SHOWN]}; the protocol's root is /v2")

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
                raise Refusal(404, f"there is nothing at {path[:_SHOWN]}")


def _index(repository: Repository) -> dict[bytes, Served]:
    """The plain spelling of every inference path → its model, so that the usual request needs one look-up."""
    found = {}
    for name, versions in repository.models.items():
        path = f"/v2/models/{name}".encode()
        found[path + b"/infer"] = versions[max(versions)]
        for version, served in versions.items():
            found[b"%b/versions/%d/infer" % (path, version)] = served
    return found


def _origin_form(target: bytes) -> bytes:
    """`/v2` of `http://host/v2`, the form that clients send to proxies and that servers must take (RFC 9112, 3.2.2)."""
    if target[:7].lower() == b"http://":
        return b"/" + target[7:].partition(b"/")[2]
    return target


def _allow(method: bytes, allowed: bytes, path: str) -> None:
    if method != allowed and not (allowed == b"GET" and method == b"HEAD"):
        methods = b"GET, HEAD" if allowed == b"GET" else allowed
        raise Refusal(405, f"{path} answers {methods.decode()} only", ((b"allow", methods),))


def _said(name: str, value: bool) -> bytes:
    return msgspec.json.encode({name: value})

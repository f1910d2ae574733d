"""The V2 REST protocol over a repository: a request's method, path and body in, its answer to an exchange. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

import msgspec

from onnxpress.serving.batcher import Exchange, Read
from onnxpress.serving.protocol import metadata
from onnxpress.serving.protocol.errors import Refusal
from onnxpress.serving.repository import Repository, Served

_SHOWN = 200
_JSON_LENGTH = b"inference-header-content-length"


class Service:
    """What every transport talks to."""

    headers_read = frozenset({b"content-encoding", _JSON_LENGTH})
    """lower-case names of the headers that submit_with wants to see"""

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

    def submit_with(
        self, headers: Mapping[bytes, bytes], method: bytes, target: bytes, body: bytes, exchange: Exchange
    ) -> None:
        """`submit` for a request that has some of the headers in `headers_read`."""
        try:
            encoding = headers.get(b"content-encoding", b"identity").lower()
            if encoding != b"identity":
                raise Refusal(415, f"the content encoding {encoding[:_SHOWN].decode('latin-1')!r} is not read here")
            self._route(method, target, body, exchange, _binary(headers.get(_JSON_LENGTH)))
        except Refusal as refusal:
            exchange.respond(refusal.status, refusal.body(), refusal.headers)

    @property
    def ready(self) -> bool:
        """Whether requests are welcome: everything is loaded, and the server is not on its way out."""
        return self.repository.ready and not self.draining

    def _route(self, method: bytes, target: bytes, body: bytes, exchange: Exchange, read: Read | None = None) -> None:
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
                self._model(method, name, rest, path, body, exchange, read)
            case _:
                raise Refusal(404, f"there is nothing at {path[:_SHOWN]}; the protocol's root is /v2")

    def _model(
        self,
        method: bytes,
        name: str,
        rest: list[str],
        path: str,
        body: bytes,
        exchange: Exchange,
        read: Read | None,
    ) -> None:
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
                served.batcher.submit(body, exchange, read=read)
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


def _binary(json_length: bytes | None) -> Read | None:
    """How the body of a request with binary tensors is read, by its Inference-Header-Content-Length."""
    if json_length is None:
        return None
    if not json_length.isdigit() or len(json_length) > 18:
        raise Refusal(400, "Inference-Header-Content-Length must be the number of bytes that are JSON")
    length = int(json_length)
    return lambda reader, body: reader.read_binary(body, length)


def _said(name: str, value: bool) -> bytes:
    return msgspec.json.encode({name: value})

"""The standard health check of gRPC, `grpc.health.v1`: of the server, its services, and each model by its name."""

from __future__ import annotations

import asyncio
from typing import Final

from onnxpress.serving.exchange import Exchange
from onnxpress.serving.protocol import grpc_messages as messages
from onnxpress.serving.protocol.protobuf import decoded, encoded
from onnxpress.serving.protocol.refusal import Refusal
from onnxpress.serving.routes import call_paths
from onnxpress.serving.service import Service

_OF_SERVER: Final = frozenset({"", *call_paths.SERVICES})
_SECONDS: Final = 0.5
"""between two looks at what is watched"""
_MOST: Final = 4096
"""bytes of a request: what is watched is kept, and those who watch show no token"""

_WATCHES: Final = 4096
"""that are looked after at a time, of all connections"""


class Health:
    """Answers the three calls."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._watched: list[_Watched] = []
        service.on_leave.append(self._tell)

    def route(self, path: bytes, body: bytes, exchange: Exchange) -> None:
        """Answer one of them. Raises Refusal."""
        if path == call_paths.LIST:
            decoded({}, body, "HealthListRequest")
            names = sorted({*_OF_SERVER, *self._service.repository.models})
            exchange.respond(200, encoded(messages.HEALTH_LIST, {"statuses": [self._row(name) for name in names]}))
            return
        if len(body) > _MOST:
            raise Refusal(400, f"the request is larger than {_MOST} bytes, and no service has so long a name")
        name = decoded(messages.HEALTH_REQUEST, body, "HealthCheckRequest").get("service", "")
        if path == call_paths.WATCH:
            self._watch(_Watched(name, exchange))
            return
        status = self._status(name)
        if status == "SERVICE_UNKNOWN":
            raise Refusal(404, "there is no service or model of this name")
        exchange.respond(200, encoded(messages.HEALTH, {"status": status}))

    def _row(self, name: str) -> dict[str, object]:
        return {"key": name, "value": {"status": self._status(name)}}

    def _status(self, name: str) -> str:
        if name in _OF_SERVER:
            return "SERVING" if self._service.ready else "NOT_SERVING"
        if name not in self._service.repository.models:
            return "SERVICE_UNKNOWN"
        down = self._service.repository.find(name, None).engine.down
        return "NOT_SERVING" if down or self._service.leaving else "SERVING"

    def _watch(self, one: _Watched) -> None:
        looks = bool(self._watched)
        if len(self._watched) >= _WATCHES:
            self._watched = [one for one in self._watched if not one.exchange.gone]
            if len(self._watched) >= _WATCHES:
                raise Refusal(429, f"{_WATCHES} calls watch already, which is as many as this server takes")
        if not looks:
            asyncio.get_running_loop().call_later(_SECONDS, self._look)
        self._watched.append(one)
        one.tell(self._status(one.name))

    def _look(self) -> None:
        self._watched = [one for one in self._watched if not one.exchange.gone]
        self._tell()
        if self._watched:
            asyncio.get_running_loop().call_later(_SECONDS, self._look)

    def _tell(self) -> None:
        """Whoever watches what has changed learns it."""
        found = {name: self._status(name) for name in {one.name for one in self._watched}}
        for one in self._watched:
            one.tell(found[one.name])


class _Watched:
    """One who watches, and what it was told last."""

    def __init__(self, name: str, exchange: Exchange) -> None:
        self.name, self.exchange = name, exchange
        self._told = ""

    def tell(self, status: str) -> None:
        if status != self._told and not self.exchange.gone:
            self._told = status
            self.exchange.respond(200, encoded(messages.HEALTH, {"status": status}))

"""ModelInfer of gRPC, which nearly every call is: from its bytes to the queue of its model."""

from __future__ import annotations

from onnxpress.serving.batching.batcher import Batcher
from onnxpress.serving.exchange import Exchange
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.protocol.infer_messages import InferMessages, Opening
from onnxpress.serving.protocol.refusal import Refusal
from onnxpress.serving.routes.call_paths import INFER
from onnxpress.serving.timing import Trace


class InferCalls:
    """Answers them. Who asks as before is led to the same queue as before, until other models are served."""

    __slots__ = ("_age", "_messages", "_repository", "path")

    def __init__(self, repository: Repository) -> None:
        self.path = INFER
        self._repository, self._messages = repository, InferMessages()
        self._age = 1
        repository.on_change(self._forget)

    def _forget(self) -> None:
        self._age += 1

    def route(self, body: bytes, exchange: Exchange, alone: bool, seconds: float | None, trace: Trace | None) -> None:
        """Answer one, or refuse it. `body` is its message; `alone`, `seconds`, `trace`: see `Batcher.submit`."""
        try:
            message = self._messages.read(body)
            opening = message.opening
            batcher: Batcher = opening.place if opening.age == self._age else self._found(opening)
        except Refusal as refusal:
            exchange.respond(refusal.status, refusal.body(), refusal.headers)
            return
        batcher.submit(body, exchange, alone, message.read, seconds, trace)

    def _found(self, opening: Opening) -> Batcher:
        """The queue that an opening leads to. Raises Refusal."""
        age, repository = self._age, self._repository
        if not repository.ready and opening.model not in repository.models:
            raise Refusal(503, "the models are still being loaded")
        batcher = repository.find(opening.model, opening.version).batcher
        opening.place, opening.age = batcher, age
        return batcher

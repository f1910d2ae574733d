"""TensorFlow Serving's gRPC calls: predict, classify, regress, a model's signature, and its status."""

from __future__ import annotations

from typing import Final

from onnxpress.serving.batching.reading import Read
from onnxpress.serving.exchange import Exchange
from onnxpress.serving.models.served import Served
from onnxpress.serving.protocol import predict_messages as messages
from onnxpress.serving.protocol.refusal import Refusal
from onnxpress.serving.routes.call_paths import MODELS, PREDICTION, path
from onnxpress.serving.service import Service
from onnxpress.serving.timing import Trace

_PREDICT: Final = path(PREDICTION, "Predict")
_CLASSIFY: Final = path(PREDICTION, "Classify")
_METADATA: Final = path(PREDICTION, "GetModelMetadata")
_STATUS: Final = path(MODELS, "GetModelStatus")


class ServingCalls:
    """Answers them."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def route(self, path: bytes, body: bytes, exchange: Exchange, seconds: float | None, trace: Trace | None) -> None:
        """Answer one of them. Raises Refusal; `seconds`, `trace`: see `Batcher.submit`."""
        if path == _METADATA:
            found = self._find(messages.asked_metadata(body))
            exchange.respond(200, messages.metadata(found.name, found.version, found.engine))
        elif path == _STATUS:
            asked = messages.asked(body, "GetModelStatusRequest")
            found = self._find(asked)
            exchange.respond(200, messages.status(self._service.states(found, asked.version is None)))
        else:
            asked = messages.asked(body, "request of the PredictionService")
            slow = path != _PREDICT
            self._find(asked).batcher.submit(
                body, exchange, read=_reading(path), seconds=seconds, trace=trace, slow=slow
            )

    def _find(self, asked: messages.Asked) -> Served:
        repository = self._service.repository
        if not repository.ready and asked.name not in repository.models:
            raise Refusal(503, "the models are still being loaded")
        return repository.find(asked.name, asked.version)


def _reading(path: bytes) -> Read:
    if path == _PREDICT:
        return messages.read_predict
    from onnxpress.serving.protocol import example_messages

    return example_messages.read_classify if path == _CLASSIFY else example_messages.read_regress

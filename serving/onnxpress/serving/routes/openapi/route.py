"""`GET /openapi.json`: built beside the event loop, once for what is served now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from onnxpress.serving import aside
from onnxpress.serving.exchange import fail
from onnxpress.serving.models.served import Served
from onnxpress.serving.routes.call import Call
from onnxpress.serving.routes.openapi.document import document
from onnxpress.serving.service import Service
from onnxpress.serving.settings import ServerSettings


class OpenApiRoute:
    """Keeps the document until other models are served."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._of: list[Served] = []
        self._text: bytes | None = None
        self._waiting: list[tuple[list[Served], Call]] = []

    def __call__(self, service: Service, call: Call, parts: Sequence[str]) -> None:
        """Answer; raises Refusal."""
        if parts != ["openapi.json"]:
            raise call.nothing_here()
        call.allow(b"GET")
        models = service.repository.all()
        if self._text is not None and self._of == models:
            call.answer(self._text)
            return
        self._waiting.append((models, call))
        if len(self._waiting) > 1 and self._waiting[-2][0] == models:
            return  # it is being built, and answers this one too

        def work() -> bytes:
            return msgspec.json.encode(document(service.repository, models, self._settings))

        def done(text: Any, error: BaseException | None) -> None:
            mine = [one for of, one in self._waiting if of == models]
            self._waiting = [(of, one) for of, one in self._waiting if of != models]
            if error is None:
                self._of, self._text = models, text
            for one in mine:
                if error is None:
                    one.answer(text)
                else:
                    fail(one.exchange, error, "the OpenAPI document")

        aside.call(work, done)

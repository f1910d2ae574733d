"""Where metrics come from: this process, or all workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from onnxpress.serving.exchange import Exchange
    from onnxpress.serving.metrics.family import Family
    from onnxpress.serving.service import Service


class MetricsSource(Protocol):
    """Whoever has them: the one process, or a worker that asks the others."""

    def tell(self, then: Callable[[list[Family]], None], exchange: Exchange, /) -> None:
        """Call `then` with every metric, now or later, on the event loop's thread.

        What goes wrong is raised now, or answered to `exchange` later.
        """


class OwnMetrics:
    """The metrics of a process that answers alone."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def tell(self, then: Callable[[list[Family]], None], _: Exchange) -> None:
        """Call `then` with them."""
        from onnxpress.serving.metrics.collected import families  # no start waits for what is asked later, or never

        then(families(self._service))

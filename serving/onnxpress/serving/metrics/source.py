"""Where metrics come from: this process, or all workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from onnxpress.serving.metrics.family import Family


class MetricsSource(Protocol):
    """Whoever has them: the one process, or a worker that asks the others."""

    def tell(self, then: Callable[[list[Family]], None], /) -> None:
        """Call `then` with every metric, now or later, on the event loop's thread."""

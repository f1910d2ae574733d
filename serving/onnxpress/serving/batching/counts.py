"""What has become of a model's requests, in numbers."""

from __future__ import annotations

from onnxpress.serving.batching.latencies import Latencies


class Counts:
    """What has become of a model's requests."""

    def __init__(self) -> None:
        self.batches: dict[int, int] = {}
        """requests in a batch → how many such batches were run"""
        self.failed = self.refused = self.rejected = 0
        self.expired = 0
        """not run: the request's own timeout was over"""
        self.cancelled = 0
        """not run: the caller had gone"""
        self.gone = 0
        """of those, the ones that are in `batches`, where each came to be run by itself"""
        self.latencies = Latencies()

    def ran(self, requests: int) -> None:
        """A batch of so many requests was run."""
        self.batches[requests] = self.batches.get(requests, 0) + 1

    def refuse(self, seconds: float) -> None:
        """A request that does not fit was refused, after so many seconds."""
        self.refused += 1
        self.latencies.failed_seconds += seconds

    @property
    def answered(self) -> int:
        """Requests that were run, but for those that the model failed."""
        return sum(size * count for size, count in self.batches.items()) - self.failed - self.gone

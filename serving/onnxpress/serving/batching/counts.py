"""What has become of a model's requests, in numbers."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Counts:
    """What has become of a model's requests."""

    batches: dict[int, int] = field(default_factory=dict)
    """requests in a batch → how many such batches were run"""
    failed: int = 0
    refused: int = 0
    rejected: int = 0
    expired: int = 0
    """not run: the request's own timeout was over"""
    cancelled: int = 0
    """not run: the caller had gone"""

    @property
    def answered(self) -> int:
        """Requests that were run, but for those that the model failed."""
        return sum(size * count for size, count in self.batches.items()) - self.failed

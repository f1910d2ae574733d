"""One rung of the proof: what was asked, what came of it."""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec


class Rung(msgspec.Struct, frozen=True, kw_only=True):
    """A rung with its figures; `holds` is None where it could not be asked, and `detail` says why."""

    name: str
    holds: bool | None
    detail: str
    worst: float | None = None
    """of what `limit` bounds"""
    limit: float | None = None
    differences: list[str] = []
    """named ones, which are no fault"""


class Worst:
    """The largest of several differences and where it is; of what is no number there is nothing larger."""

    def __init__(self) -> None:
        self.figure, self.where = 0.0, ""

    def add(self, figure: float, where: str) -> None:
        """Take one more into account."""
        if not figure <= self.figure:
            self.figure, self.where = figure if math.isfinite(figure) else math.inf, where

    def rung(self, name: str, limit: float, detail: str, differences: list[str] | None = None) -> Rung:
        """It holds where the largest is within `limit`."""
        return Rung(
            name=name,
            holds=self.figure <= limit,
            detail=detail,
            worst=self.figure,
            limit=limit,
            differences=differences or [],
        )


def unasked(*names: str) -> Iterator[Rung]:
    """These rungs, behind an infinite difference of the answers."""
    for name in names:
        yield Rung(name=name, holds=None, detail="the code fails, or its answers have another shape")


def first_line(error: Exception) -> str:
    """What an error says, in a line."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"

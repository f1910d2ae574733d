"""One rung of the proof: what was asked, what came of it."""

from __future__ import annotations

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

"""How many rows of each class are kept while a file is read: a random sample of one pass, and even classes."""

from __future__ import annotations

import random
from typing import Annotated, Literal

import msgspec


class Sample(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which rows of a large or uneven file are trained on."""

    per_class: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """rows of a class at most, drawn at random over the whole file; the others are not kept in memory"""
    balance: Literal["under", "over"] | None = None
    """under: as many rows of each class as the smallest has; over: in training alone, rows of smaller classes come
    again until each class has as many as the largest"""
    seed: Annotated[int, msgspec.Meta(ge=0)] = 0
    """of the draw"""

    def __post_init__(self) -> None:
        if self.per_class is None and self.balance is None:
            raise ValueError("give per_class or balance")


class Reservoir:
    """Keeps `most` rows of each class, each with the same chance (Vitter 1985, algorithm R)."""

    def __init__(self, most: int, *, seed: int) -> None:
        self._most, self._random = most, random.Random(seed)
        self._places: dict[int, list[int]] = {}
        self._met: dict[int, int] = {}

    def place(self, code: int, *, rows: int) -> int | None:
        """Where a row of class `code` goes: a place up to `rows`, which is a new one, or None where it is dropped."""
        places, met = self._places.setdefault(code, []), self._met.get(code, 0)
        self._met[code] = met + 1
        if len(places) < self._most:
            places.append(rows)
            return rows
        drawn = self._random.randrange(met + 1)
        return places[drawn] if drawn < self._most else None

    def met(self, code: int) -> int:
        """How many rows of the class came."""
        return self._met.get(code, 0)

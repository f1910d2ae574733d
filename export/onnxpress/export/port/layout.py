"""Which of a value's axes lies where: the written code keeps its own order and the weights follow, not the activations.

A value's axes are counted as the source counts them. Its layout says which of them lies at each place in the written
code. A transpose of the source changes the layout alone; data moves only where a function needs another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxpress.core.arrays import Array


class Unordered(Exception):
    """A flattened axis, counted in the written code's order, met what needs the source's: step `number` of `block`."""

    def __init__(self, place: Any) -> None:
        super().__init__(place)
        self.place = place


class Relaid(Unordered):
    """A tensor of one number, made by step `place`, is wanted in this order of axes: it is made so from the start."""

    def __init__(self, place: Any, perm: tuple[int, ...]) -> None:
        super().__init__(place)
        self.perm = perm


class Placed:
    """What has the shapes `shown`, as the source counts its axes, and at each place the axis that `perm` says."""

    shown: Any
    perm: tuple[int, ...]

    @property
    def rank(self) -> int:
        """How many axes."""
        return self.shown.rank

    @property
    def sizes(self) -> tuple[int | None, ...]:
        """Each axis's size, None where it varies."""
        return self.shown.sizes

    @property
    def wide(self) -> list[int]:
        """The axes that are not 1, as they lie."""
        return [axis for axis in self.perm if self.shown.first[axis] != 1 or self.shown.second[axis] != 1]

    def place(self, axis: int) -> int:
        """Where the source's axis lies."""
        return self.perm.index(axis % self.rank)


@dataclass
class Value(Placed):
    """A value in the written code: the expression, its shape as the source counts, and its layout."""

    code: str
    shown: Any = None
    perm: tuple[int, ...] = ()
    order: Array | None = None
    """of the last axis, which was flattened: at place j of the written code lies the source's index order[j]"""
    made_by: Any = None
    """where `order` began"""
    parts: list[Any] | None = None
    """of a value that is several"""
    number: Any = None
    """a size, as the two runs showed it"""
    parameter: str | None = None
    bare: bool = True
    """whether `code` needs no brackets in a product or before a dot"""
    stored: bool = False
    """whether `code` is the written model's own weight of `parameter`"""
    fill: Any = None
    """the step that made it of one number, in an order of axes that nobody has asked for yet"""
    mask: str = ""
    """the code that says which steps of a packed sequence count"""
    items: list[str] | None = None
    """the code of each item along the first axis, where they are had one by one"""
    reshaped: str = ""
    """the code of which the expression `code` is a reshape that moves nothing; see `whole`"""

    @property
    def whole(self) -> str:
        """The code of its data in any shape: that of before a reshape, unless the reshape has a name already."""
        return self.reshaped if self.reshaped and not self.code.isidentifier() else self.code

    def written_place(self, axis: int) -> int:
        """The same as it is written: -1 of the last."""
        place = self.place(axis)
        return -1 if place == self.rank - 1 else place


def holds_tensors(outputs: Any) -> bool:
    """Whether there is a value to compute among a block's answers: what else it returns, its caller knows."""
    if isinstance(outputs, Value):
        return outputs.parts is None or holds_tensors(outputs.parts)
    return isinstance(outputs, tuple | list) and any(map(holds_tensors, outputs))


def identity(rank: int) -> tuple[int, ...]:
    """Every axis at its own place."""
    return tuple(range(rank))


def channels_last(rank: int, axis: int = 1) -> tuple[int, ...]:
    """The rows first and `axis` last: (0, 2, 3, 1)."""
    return (*(a for a in range(rank) if a != axis), axis)


def in_order(value: Value) -> bool:
    """Whether the axes that are not 1 lie in the source's order: to read them one after the other is the same."""
    return value.wide == sorted(value.wide)


def flattened(sizes: tuple[int, ...], perm: tuple[int, ...]) -> Array:
    """At place j of axes flattened in the order `perm` lies this index of those flattened in the source's order."""
    order: Array = np.arange(int(np.prod(sizes))).reshape(sizes).transpose(perm).reshape(-1)
    return order

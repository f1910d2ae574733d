"""A value of the Keras model as the torch code has it: which step computes it, and where its axes lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from onnxpress.core.arrays import Array
from onnxpress.export.port.layout import Placed
from onnxpress.export.port.steps import Ref, Shown


@dataclass
class Value(Placed):
    """Axes are counted as Keras counts them; `perm` says which of them lies at each place in the torch code."""

    ref: Ref
    shown: Shown
    perm: tuple[int, ...]
    order: Array | None = None
    """of the last axis, which was flattened: at place j of the torch code lies Keras's index order[j]"""
    made_by: Any = None
    """where `order` began"""
    mask: Any = None
    """the value of Keras's mask, (rows, time) of truth values"""
    variable: Any = None
    """the Keras variable that this is, before it is stored with its axes in some order"""

    @property
    def dtype(self) -> str:
        """Its dtype in torch."""
        return self.shown.dtype

    def written_place(self, axis: int) -> int:
        """The same as it is written: -1 of the last."""
        place = self.place(axis)
        return -1 if place == self.rank - 1 and place else place


def channels_first(rank: int) -> tuple[int, ...]:
    """The rows first and Keras's last axis second: (0, 3, 1, 2)."""
    return (0, rank - 1, *range(1, rank - 1))

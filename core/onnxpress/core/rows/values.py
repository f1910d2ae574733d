"""What is known of one value of the graph: its shape, where its rows lie, or why they cannot be told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from onnxpress.core.rows.sizes import Size

Shape = tuple[Size, ...]
Element = int | float | bool | str | Size | None
"""of a small tensor: its value, or None for one that is unknown but the same for every batch"""


@dataclass(frozen=True, slots=True)
class Rows:
    """Where the rows lie: at `axis`, whose index counts (outer, row, inner); its size is outer · N · inner."""

    axis: int
    outer: Size = 1
    inner: Size = 1

    def at(self, axis: int) -> Rows:
        """The same rows on another axis."""
        return Rows(axis, self.outer, self.inner)

    def fits(self, other: Rows) -> bool:
        """Whether both count their axis alike."""
        return self.outer == other.outer and self.inner == other.inner


@dataclass(frozen=True, slots=True)
class Taint:
    """Why a value is not known row by row.

    `definite` where the operator surely combines rows, or counts them; otherwise it is merely not followed.
    """

    node: str
    operator: str
    reason: str
    definite: bool


@dataclass(frozen=True, slots=True)
class Ragged:
    """Rows of strings or ids that are not of the same length, as a tokenizer leaves them.

    Axis 0 has `tail` constant rows behind its N. With `fill`, axis 1 is as long as the longest row, and shorter ones
    end in as many fills; `least` fills are in every row.
    """

    tail: int = 0
    fill: int | str | None = None
    least: int = 0
    bare: bool = False
    """nothing but fills"""


@dataclass(frozen=True, slots=True)
class Numbers:
    """Indices made from the number of the row, counted from 0.

    Without `column` every element is that number times `stride`, plus something of the row's own from 0 to less than
    the value's `below`. With it, the bare number stands at this place of the last axis, beside the row's own values.
    """

    stride: Size = 1
    column: int | None = None


@dataclass(frozen=True, slots=True)
class Value:
    """One value. With neither rows nor taint it is the same, in shape and content, for every batch.

    With `rows`, row i of it is what the graph computes when it is asked for row i alone. `shape` is None where the rank
    is unknown, which it never is with rows. `elements` are those of a small tensor of numbers; one that depends on the
    number of rows is tainted by it. `numbers` says that the row's number is in it. Where `below` is known the elements
    are whole numbers from 0 to less than that; with `numbers`, what is added to the row's part is.
    """

    shape: Shape | None = None
    rows: Rows | None = None
    taint: Taint | None = None
    elements: tuple[Element, ...] | None = field(default=None)
    numbers: Numbers | None = None
    ragged: Ragged | None = None
    below: Size | None = None

    @property
    def counts_rows(self) -> bool:
        """Whether every element is the number of its row, and nothing else."""
        return self.numbers == Numbers() and self.below == 1

    @property
    def free(self) -> bool:
        """Whether it is the same for every batch."""
        return self.rows is None and self.taint is None

    def shaped(self, shape: Sequence[Size], rows: Rows | None = None) -> Value:
        """The same, moved to another shape."""
        return replace(self, shape=tuple(shape), rows=rows)


FREE = Value()

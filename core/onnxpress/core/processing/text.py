"""Steps over raw strings."""

from __future__ import annotations

from typing import Annotated

import msgspec

from onnxpress.core.processing.tensors import Array, Step, Tensors, check_distinct

PADDING, UNKNOWN, FIRST = 0, 1, 2
"""the ids of padding, of a character that the alphabet lacks, and of its first one"""


class Characters(Step, frozen=True, kw_only=True, tag="characters"):
    """Each character's place in the alphabet, from 2; 1 for any other, 0 after the end.

    Longer strings are cut. With `fold_case` an ASCII capital counts as the small letter.
    """

    input: str
    alphabet: str
    length: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
    fold_case: bool = True

    def __post_init__(self) -> None:
        check_distinct("the alphabet", list(self.alphabet))
        if self.fold_case and self.alphabet != self.alphabet.lower():
            raise ValueError("the alphabet has capitals, which fold_case turns into small letters")

    def ids(self) -> dict[str, int]:
        """Every character that has an id of its own."""
        found = {character: number for number, character in enumerate(self.alphabet, FIRST)}
        if self.fold_case:
            found |= {c.upper(): number for c, number in found.items() if c.isascii() and c.isalpha()}
        return found

    def apply(self, tensors: Tensors, dtype: str) -> Array:
        """(batch,) strings → (batch, length) int64."""
        import numpy as np

        texts = tensors[self.input]
        id_of, found = self.ids(), np.zeros((len(texts), self.length), np.int64)
        for row, text in enumerate(texts):
            ids = [id_of.get(character, UNKNOWN) for character in str(text)[: self.length]]
            found[row, : len(ids)] = ids
        return found

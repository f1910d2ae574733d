"""Steps over raw strings."""

from __future__ import annotations

import re
import string
from typing import Annotated

import msgspec
import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.processing.step import Step, Tensors, check_distinct

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
        numbers = {character: number for number, character in enumerate(self.alphabet, FIRST)}
        if self.fold_case:
            numbers |= {c.upper(): number for c, number in numbers.items() if c.isascii() and c.isalpha()}
        return numbers

    def apply(self, tensors: Tensors, dtype: str) -> Array:
        """(batch,) strings → (batch, length) int64."""
        texts = tensors[self.input]
        id_of, numbers = self.ids(), np.zeros((len(texts), self.length), np.int64)
        for row, text in enumerate(texts):
            ids = [id_of.get(character, UNKNOWN) for character in str(text)[: self.length]]
            numbers[row, : len(ids)] = ids
        return numbers


_SMALL = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_Id = Annotated[int, msgspec.Meta(ge=0)]


class Words(Step, frozen=True, kw_only=True, tag="words"):
    """Each word's number: `first` + its place in the vocabulary, `unknown` for any other, `padding` after the last.

    Words are what stands between separators, however many of these follow each other; a text of none has no words.
    Texts of more than `length` words are cut. With `fold_case` an ASCII capital counts as the small letter, and no
    other letter changes: how those fold depends on the machine. A vocabulary that starts with names for padding and
    the unknown, as torchtext's does, has `first: 0`; what stands at those two ids is never found in a text.
    """

    input: str
    vocabulary: list[str]
    length: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
    separators: str = " \t\n\r\f\v"
    """single characters"""
    fold_case: bool = True
    padding: _Id = PADDING
    unknown: _Id = UNKNOWN
    first: _Id = FIRST
    mask: str | None = None
    """the name of a second output: 1 for a word, 0 for padding"""

    def __post_init__(self) -> None:
        check_distinct("the vocabulary", self.vocabulary)
        check_distinct("separators", list(self.separators))
        if self.mask == self.output:
            raise ValueError(f"the ids and their mask are both named {self.output!r}")
        for word in self.ids():
            if not word or set(word) & set(self.separators):
                raise ValueError(f"no text holds the word {word!r}: it is empty or has a separator in it")
            if self.fold_case and word != word.translate(_SMALL):
                raise ValueError(f"no text holds the word {word!r}: fold_case turns its capitals into small letters")

    def ids(self) -> dict[str, int]:
        """Every word that a text may hold → its number."""
        numbered = enumerate(self.vocabulary, self.first)
        return {word: number for number, word in numbered if number not in (self.padding, self.unknown)}

    @property
    def makes(self) -> list[str]:
        """The ids and, where it is named, their mask."""
        return [self.output, self.mask] if self.mask else [self.output]

    @property
    def word(self) -> str:
        """A regular expression of one word, the same to Python's `re` and to RE2, which ONNX Runtime uses."""
        return f"[^{re.escape(self.separators)}]+"

    def apply(self, tensors: Tensors, dtype: str) -> Array:
        """(batch,) strings → (batch, length) int64."""
        return self.outputs(tensors, dtype)[self.output]

    def outputs(self, tensors: Tensors, dtype: str) -> Tensors:
        """(batch,) strings → the ids and, where it is named, their mask, each (batch, length) int64."""
        texts = tensors[self.input]
        id_of, word = self.ids(), re.compile(self.word)
        numbers = np.full((len(texts), self.length), self.padding, np.int64)
        mask = np.zeros_like(numbers)
        for row, text in enumerate(map(str, texts)):
            words = word.findall(text.translate(_SMALL) if self.fold_case else text)[: self.length]
            numbers[row, : len(words)] = [id_of.get(word, self.unknown) for word in words]
            mask[row, : len(words)] = 1
        return {self.output: numbers} | ({self.mask: mask} if self.mask else {})

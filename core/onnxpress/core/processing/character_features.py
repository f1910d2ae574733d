"""Figures of a text from the numbers of its characters: lengths, classes, entropy, and n-grams by their hash."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

import msgspec
import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.processing.step import Step, Tensors, check_distinct
from onnxpress.core.processing.text import FIRST, PADDING, UNKNOWN

Feature = Literal[
    "length", "letters", "vowels", "consonants", "digits", "hyphens", "dots", "unknown", "distinct", "entropy"
]
FEATURES: tuple[Feature, ...] = get_args(Feature)
_COUNTED = FEATURES[:8]
_VOWELS = frozenset("aeiouAEIOU")


class CharacterFeatures(Step, frozen=True, kw_only=True, tag="character_features"):
    """Counts of a text's characters by class, how many differ, and the entropy of their shares in bits.

    `input` is what the step `characters` makes, and `alphabet` is that step's. Columns come in the order of `FEATURES`,
    whatever the order in which they are named. Letters are those of ASCII, `unknown` what the alphabet lacks.
    """

    input: str
    alphabet: str
    features: Annotated[tuple[Feature, ...], msgspec.Meta(min_length=1)] = FEATURES

    def __post_init__(self) -> None:
        check_distinct("the alphabet", list(self.alphabet))
        check_distinct("features", self.features)

    @property
    def names(self) -> list[Feature]:
        """Of the columns, in order."""
        return [name for name in FEATURES if name in self.features]

    @property
    def ids(self) -> Array:
        """The numbers that characters have, int64: all but that of padding."""
        return np.arange(UNKNOWN, FIRST + len(self.alphabet))

    def classes(self, dtype: str) -> Array:
        """(ids, counted features): 1 where a character is of the class."""
        columns = [[_is(name, character) for character in ("", *self.alphabet)] for name in self._counted]
        return np.array(columns, dtype).reshape(len(self._counted), len(self.ids)).T

    @property
    def _counted(self) -> list[Feature]:
        return [name for name in self.names if name in _COUNTED]

    def apply(self, tensors: Tensors, dtype: str) -> Array:
        """(batch, length) int64 → (batch, features) in `dtype`."""
        numbers = tensors[self.input]
        counts = (numbers[..., None] == self.ids).sum(axis=1).astype(dtype)
        parts = [counts @ self.classes(dtype)]
        if "distinct" in self.features:
            parts.append((counts > 0).sum(axis=1, keepdims=True).astype(dtype))
        if "entropy" in self.features:
            share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
            bits = np.log(np.where(share > 0, share, 1)) * np.asarray(1 / np.log(2), dtype)
            parts.append(-(share * bits).sum(axis=1, keepdims=True))
        result: Array = np.concatenate(parts, axis=1).astype(dtype)
        return result


def _is(name: Feature, character: str) -> bool:
    """Whether a character is of the class; the unknown one is the empty text."""
    is_letter = character.isascii() and character.isalpha()
    return {
        "length": True,
        "letters": is_letter,
        "vowels": character in _VOWELS,
        "consonants": is_letter and character not in _VOWELS,
        "digits": character.isascii() and character.isdigit(),
        "hyphens": character == "-",
        "dots": character == ".",
        "unknown": character == "",
    }[name]


class CharacterNgrams(Step, frozen=True, kw_only=True, tag="character_ngrams"):
    """How often the n characters that follow each other fall into each bucket: Σ id × 31^place, modulo `buckets`.

    Different n-grams may share a bucket (Weinberger et al. 2009, without the sign). `input` is what the step
    `characters` makes; n-grams that reach into the padding are not counted.
    """

    input: str
    n: Annotated[int, msgspec.Meta(ge=1, le=8)] = 2
    buckets: Annotated[int, msgspec.Meta(ge=2, le=4096)] = 128

    @property
    def factors(self) -> list[int]:
        """What each place's number is multiplied by."""
        return [31**place for place in range(self.n)]

    def apply(self, tensors: Tensors, dtype: str) -> Array:
        """(batch, length) int64 → (batch, buckets) in `dtype`."""
        numbers = tensors[self.input]
        counts = np.zeros((len(numbers), self.buckets), dtype)
        if numbers.shape[1] < self.n:
            return counts
        grams = np.lib.stride_tricks.sliding_window_view(numbers, self.n, axis=1)
        bucket = (grams * np.array(self.factors)).sum(axis=2) % self.buckets
        is_whole = grams[:, :, -1] != PADDING
        np.add.at(counts, (np.nonzero(is_whole)[0], bucket[is_whole]), 1)
        return counts

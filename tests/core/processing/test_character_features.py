"""Figures of a text: counts by class, entropy, and n-grams by hash."""

from __future__ import annotations

import math

import numpy as np
import pytest

from onnxpress.core.arrays import Array
from onnxpress.core.processing import CharacterFeatures, CharacterNgrams, Characters, apply

ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789-."
CHARACTERS = Characters(input="x", output="ids", alphabet=ALPHABET, length=12)


def figures(step: CharacterFeatures | CharacterNgrams, *texts: str) -> Array:
    return apply([CHARACTERS, step], {"x": np.array(texts, object)}, dtype="float64")["y"]


def test_counts_by_class_come_in_their_own_order() -> None:
    step = CharacterFeatures(input="ids", output="y", alphabet=ALPHABET)
    assert step.names[:3] == ["length", "letters", "vowels"]
    found = dict(zip(step.names, figures(step, "Ab-9.ü9e")[0].tolist(), strict=True))
    assert found.pop("entropy") == pytest.approx(6 / 8 * 3 + 2 / 8 * 2)
    assert found == {
        "length": 8, "letters": 3, "vowels": 2, "consonants": 1, "digits": 2, "hyphens": 1, "dots": 1, "unknown": 1,
        "distinct": 7,
    }  # fmt: skip


def test_the_entropy_is_that_of_the_shares() -> None:
    step = CharacterFeatures(input="ids", output="y", alphabet=ALPHABET, features=("entropy",))
    assert figures(step, "", "aaaa", "abab", "abcd", "aab").ravel() == pytest.approx(
        [0, 0, 1, 2, -(2 / 3 * math.log2(2 / 3) + 1 / 3 * math.log2(1 / 3))]
    )


def test_named_features_alone_are_made() -> None:
    step = CharacterFeatures(input="ids", output="y", alphabet=ALPHABET, features=("distinct", "dots"))
    assert step.names == ["dots", "distinct"]
    assert figures(step, "a.a.").tolist() == [[2, 2]]


def test_ngrams_are_counted_in_their_buckets_and_padding_in_none() -> None:
    step = CharacterNgrams(input="ids", output="y", n=2, buckets=64)
    found = figures(step, "abab", "ab", "a", "")
    a, b = 2, 3
    assert found[0, (a + 31 * b) % 64] == 2
    assert found[0, (b + 31 * a) % 64] == 1
    assert found.sum(axis=1).tolist() == [3, 1, 0, 0]
    full = "abcdefghijkl"
    assert figures(CharacterNgrams(input="ids", output="y", n=3, buckets=7), full).sum() == 10
    assert figures(CharacterNgrams(input="ids", output="y", n=8, buckets=7), full).sum() == 5


def test_what_is_named_twice_or_not_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="features has 'dots' twice"):
        CharacterFeatures(input="ids", output="y", alphabet=ALPHABET, features=("dots", "dots"))
    with pytest.raises(ValueError, match="alphabet is empty"):
        CharacterFeatures(input="ids", output="y", alphabet="")

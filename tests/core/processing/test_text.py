"""Characters and words to numbers: folding, cutting, padding, the unknown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from onnxpress.core.processing import Characters, Words, apply


def numbers(step: Characters | Words, *texts: str) -> list[list[int]]:
    made = apply([step], {"x": np.array(texts, object)})["y"]
    assert made.dtype == np.int64
    return made.tolist()


def test_characters_are_places_in_the_alphabet_from_2() -> None:
    step = Characters(input="x", output="y", alphabet="ab.", length=4)
    assert numbers(step, "a.B", "", "bä?ab") == [[2, 4, 3, 0], [0, 0, 0, 0], [3, 1, 1, 2]]


def test_capitals_are_their_own_without_folding() -> None:
    step = Characters(input="x", output="y", alphabet="aB", length=2, fold_case=False)
    assert numbers(step, "AB", "ab") == [[1, 3], [2, 1]]


@pytest.mark.parametrize(
    ("alphabet", "says"), [("", "is empty"), ("aa", "has 'a' twice"), ("aB", "has capitals, which fold_case")]
)
def test_an_alphabet_that_cannot_be_is_refused(alphabet: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Characters(input="x", output="y", alphabet=alphabet, length=2)


def test_words_are_what_stands_between_separators() -> None:
    step = Words(input="x", output="y", vocabulary=["good", "bad"], length=3, separators=" ,")
    assert numbers(step, ",Good,, ugly  BAD bad", " , ") == [[2, 1, 3], [0, 0, 0]]
    assert step.makes == ["y"]


def test_the_mask_tells_words_from_padding() -> None:
    step = Words(input="x", output="y", vocabulary=["good"], length=3, mask="m")
    known = apply([step], {"x": np.array(["good x", ""], object)})
    assert known["m"].tolist() == [[1, 1, 0], [0, 0, 0]]
    assert step.makes == ["y", "m"]
    assert step.apply({"x": np.array(["good"], object)}, "float32").tolist() == [[2, 0, 0]]


def test_a_vocabulary_may_begin_with_names_for_padding_and_the_unknown() -> None:
    step = Words(input="x", output="y", vocabulary=["<pad>", "<unk>", "good"], length=3, first=0)
    assert numbers(step, "<pad> good <unk>") == [[1, 2, 1]]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"vocabulary": []}, "the vocabulary is empty"),
        ({"vocabulary": ["a b"]}, "no text holds the word 'a b'"),
        ({"vocabulary": [""]}, "no text holds the word ''"),
        ({"vocabulary": ["Good"]}, "fold_case turns its capitals"),
        ({"separators": "  "}, "separators has ' ' twice"),
        ({"mask": "y"}, "both named 'y'"),
    ],
)
def test_a_vocabulary_that_no_text_can_hold_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Words(**{"input": "x", "output": "y", "vocabulary": ["a"], "length": 2, **changes})

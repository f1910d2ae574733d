"""Any text is read alike by numpy and by the graph: characters, and words of a vocabulary."""

from __future__ import annotations

import string

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("onnx")

from tests.export.graph.steps.step_graph import TEXT, graph

from onnxpress.core import processing
from onnxpress.core.arrays import Array
from onnxpress.core.processing import apply

NO_NUL = st.characters(codec="utf-8", exclude_characters="\x00")
CHARACTERS = processing.Characters(input="x", output="y", alphabet="abcdef.-é", length=9)
CHARACTER_GRAPH = graph(TEXT, CHARACTERS)
SPACES = " \t\n\r\f\v"
VOCABULARY = ["the", "cat", "café", "naïve", "猫", "😀", "don't", "e\u0301", "<pad>"]
WORDS = processing.Words(input="x", output="y", vocabulary=VOCABULARY, length=4, mask="z")
WORD_GRAPH = graph(TEXT, WORDS)
SENTENCES = st.lists(st.sampled_from([*VOCABULARY, "The", "CAFÉ", "dog", "\u00a0", "İ", *SPACES])).map("".join)


@settings(max_examples=60)
@given(texts=st.lists(st.text(NO_NUL, max_size=12), max_size=6))
def test_any_text_is_read_alike(texts: list[str]) -> None:
    x = np.array(texts, object)
    expected = apply([CHARACTERS], {"x": x})["y"]
    assert CHARACTER_GRAPH.run({"x": x})["y"].tolist() == expected.tolist()
    for row, text in zip(expected, texts, strict=True):
        assert (row[: len(text)] > 0).all()
        assert (row[len(text) :] == 0).all()


def said(words: processing.Words, texts: list[str]) -> tuple[Array, Array]:
    """Ids and mask in numpy, after the graph has said the same."""
    x = np.array(texts, object)
    expected = apply([words], {"x": x})
    found = (WORD_GRAPH if words is WORDS else graph(TEXT, words)).run({"x": x})
    for name in ("y", "z"):
        assert found[name].dtype == expected[name].dtype == np.int64
        assert found[name].shape == expected[name].shape == (len(texts), words.length)
        assert found[name].tolist() == expected[name].tolist()
    return expected["y"], expected["z"]


@settings(max_examples=200)
@given(texts=st.lists(SENTENCES | st.text(NO_NUL, max_size=20), max_size=6))
def test_any_sentence_has_the_same_words(texts: list[str]) -> None:
    ids, mask = said(WORDS, texts)
    for row, kept, text in zip(ids, mask, texts, strict=True):
        words = text.translate(dict.fromkeys(map(ord, SPACES), " ")).split(" ")
        count = min(4, sum(bool(word) for word in words))
        assert kept.tolist() == [1] * count + [0] * (4 - count)
        assert (row[:count] > 0).all()
        assert (row[count:] == 0).all()


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_vocabulary_and_any_separators(data: st.DataObject) -> None:
    separators = "".join(
        data.draw(st.lists(st.sampled_from(string.punctuation + " \t\nxé猫😀"), min_size=1, unique=True))
    )
    fold = data.draw(st.booleans())
    letters = st.characters(codec="utf-8", exclude_characters="\x00" + separators + string.ascii_uppercase)
    vocabulary = data.draw(st.lists(st.text(letters, min_size=1, max_size=5), min_size=1, max_size=5, unique=True))
    padding, unknown, first, length = (data.draw(st.integers(low, 4)) for low in (0, 0, 0, 1))
    words = processing.Words(
        input="x", output="y", mask="z", vocabulary=vocabulary, separators=separators, fold_case=fold, length=length,
        padding=padding, unknown=unknown, first=first,
    )  # fmt: skip
    pieces = st.sampled_from([*vocabulary, *map(str.upper, vocabulary), *separators, "", "q"])
    said(words, data.draw(st.lists(st.lists(pieces, max_size=8).map("".join), max_size=4)))


@pytest.mark.parametrize(
    ("text", "ids", "mask"),
    [
        ("", [0, 0, 0, 0], [0, 0, 0, 0]),
        (" \t\n ", [0, 0, 0, 0], [0, 0, 0, 0]),
        ("The  cat\n", [2, 3, 0, 0], [1, 1, 0, 0]),
        ("a CAFÉ a café a the", [1, 1, 1, 4], [1, 1, 1, 1]),  # É is not folded
        ("cat\u00a0the, the cat", [1, 2, 3, 0], [1, 1, 1, 0]),  # nor does a no-break space or a comma separate
    ],
)
def test_what_a_sentence_becomes(text: str, ids: list[int], mask: list[int]) -> None:
    found, kept = said(WORDS, [text])
    assert found.tolist() == [ids]
    assert kept.tolist() == [mask]


def test_the_names_of_padding_and_unknown_in_a_vocabulary_are_no_words() -> None:
    words = processing.Words(input="x", output="y", mask="z", vocabulary=["<pad>", "<UNK>", "the"], first=0, length=4)
    found, mask = said(words, ["<pad> the <UNK>"])
    assert found.tolist() == [[1, 2, 1, 0]]
    assert mask.tolist() == [[1, 1, 1, 0]]


def test_a_long_text_and_a_large_vocabulary() -> None:
    vocabulary = [f"word{number}" for number in range(30_000)]
    words = processing.Words(input="x", output="y", mask="z", vocabulary=vocabulary, length=5_000)
    texts = [" ".join(vocabulary[:6_000]), "word29999", "x" * 200_000]
    ids, _ = said(words, texts)
    assert ids[0].tolist() == list(range(2, 5_002))
    assert ids[1:, 0].tolist() == [30_001, 1]

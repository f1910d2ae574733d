"""Parts are disjoint, complete, seeded, and keep every class's proportion."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.core.errors import BadData
from onnxpress.training.data import split
from onnxpress.training.settings import Training

pytest.importorskip("sklearn")

CLASSES = np.array([True] * 40 + [False] * 60)


@given(share=st.floats(0.1, 0.9), seed=st.integers(0, 2**32 - 1))
def test_parts_are_disjoint_complete_and_stratified(share: float, seed: int) -> None:
    rest, taken = split.hold_out(np.arange(100), CLASSES, Training(held_out_share=share, seed=seed))
    assert sorted([*rest, *taken]) == list(range(100))
    assert abs(len(taken) - 100 * share) <= 1
    assert abs(CLASSES[taken].mean() - CLASSES.mean()) <= 1 / len(taken) + 1e-9


def test_the_seed_decides() -> None:
    first, again, other = (
        split.hold_out(np.arange(100), CLASSES, Training(seed=seed))[1].tolist() for seed in (1, 1, 2)
    )
    assert first == again != other


def test_shuffled_divides_the_given_rows() -> None:
    rest, taken = split.shuffled(np.arange(10, 30), 0.25, seed=0)
    assert (len(rest), len(taken)) == (15, 5)
    assert sorted([*rest, *taken]) == list(range(10, 30))


def test_too_few_rows_are_refused_with_the_reason() -> None:
    with pytest.raises(BadData, match="cannot be divided into 75% and 25%: The least populated class"):
        split.hold_out(np.arange(4), np.array([True, False, False, False]), Training())
    with pytest.raises(BadData, match="1 rows cannot be divided"):
        split.shuffled(np.array([3]), 0.25, seed=0)


@given(rows=st.integers(30, 300), groups=st.integers(12, 30), seed=st.integers(0, 1000))
def test_a_group_is_never_divided(rows: int, groups: int, seed: int) -> None:
    names = np.arange(rows) % groups
    classes = names % 2
    parts = split.parts(
        classes, Training(held_out_share=0.34, validation_share=0.34, seed=seed), rows=rows, groups=names
    )
    assert sorted(np.concatenate(parts)) == list(range(rows))
    for number, part in enumerate(parts):
        others = np.concatenate([other for place, other in enumerate(parts) if place != number])
        assert not set(names[part]) & set(names[others])
        assert set(classes[part]) == {0, 1}


def test_every_row_is_held_out_in_one_fold() -> None:
    held_out = [split.parts(CLASSES, Training(folds=5, fold=fold), rows=100)[2] for fold in range(5)]
    assert sorted(np.concatenate(held_out)) == list(range(100))
    assert {len(part) for part in held_out} == {20}


def test_a_class_with_one_example_is_named() -> None:
    classes = np.array(["cat"] * 20 + ["dog"] * 20 + ["emu"])
    with pytest.raises(BadData, match="'emu' has 1"):
        split.parts(classes, Training(), rows=41)

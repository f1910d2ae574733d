"""Parts are disjoint, complete, seeded, and keep every class's proportion."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.core.errors import BadData
from onnxpress.training.data import split

pytest.importorskip("sklearn")

CLASSES = np.array([True] * 40 + [False] * 60)


@given(share=st.floats(0.1, 0.9), seed=st.integers(0, 2**32 - 1))
def test_parts_are_disjoint_complete_and_stratified(share: float, seed: int) -> None:
    rest, taken = split.stratified(CLASSES, share, seed=seed)
    assert sorted([*rest, *taken]) == list(range(100))
    assert abs(len(taken) - 100 * share) <= 1
    assert abs(CLASSES[taken].mean() - CLASSES.mean()) <= 1 / len(taken) + 1e-9


def test_the_seed_decides() -> None:
    first, again, other = (split.stratified(CLASSES, 0.3, seed=seed)[1].tolist() for seed in (1, 1, 2))
    assert first == again != other


def test_shuffled_divides_the_given_rows() -> None:
    rest, taken = split.shuffled(np.arange(10, 30), 0.25, seed=0)
    assert (len(rest), len(taken)) == (15, 5)
    assert sorted([*rest, *taken]) == list(range(10, 30))


def test_too_few_rows_are_refused_with_the_reason() -> None:
    with pytest.raises(BadData, match="cannot be divided into 75% and 25%: The least populated class"):
        split.stratified(np.array([True, False, False, False]), 0.25, seed=0)
    with pytest.raises(BadData, match="1 rows cannot be divided"):
        split.shuffled(np.array([3]), 0.25, seed=0)

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


@pytest.mark.parametrize("fold", [None, 0, 1, 2])
def test_people_with_rows_of_every_class_are_kept_together(fold: int | None) -> None:
    people = np.repeat([f"p{n}" for n in range(10)], 12)
    labels = np.where(
        np.arange(120) % 12 < np.repeat(np.arange(10) % 4, 12), "Seizure", "other"
    )  # p0, p4, p8 have none
    training = Training(folds=None if fold is None else 3, fold=fold)
    parts = split.parts(labels, training, rows=120, groups=people)
    assert sorted(np.concatenate(parts).tolist()) == list(range(120))
    assert not set.intersection(*(set(people[part]) for part in parts))
    for part in parts if fold is None else parts[:1]:
        assert set(labels[part]) == {"Seizure", "other"}
        assert (labels[part] == "Seizure").mean() == pytest.approx(0.125, abs=0.08)
    again = split.parts(labels, training, rows=120, groups=people)
    assert [part.tolist() for part in again] == [part.tolist() for part in parts]


def test_every_person_is_held_out_in_one_fold_and_an_ensemble_holds_the_same_out() -> None:
    people, labels = np.repeat(np.arange(9).astype(str), 4), np.tile(["a", "b"], 18)
    folds = [split.parts(labels, Training(folds=3, fold=fold), rows=36, groups=people) for fold in range(3)]
    assert sorted(np.concatenate([parts[2] for parts in folds]).tolist()) == list(range(36))
    members = [
        split.parts(labels, Training(folds=3, fold=fold, ensemble=True), rows=36, groups=people) for fold in range(3)
    ]
    assert len({tuple(parts[2].tolist()) for parts in members}) == 1
    assert len(np.unique(np.concatenate([parts[1] for parts in members]))) == sum(len(parts[1]) for parts in members)


def test_a_class_that_one_person_alone_has_is_refused_by_name() -> None:
    people, labels = np.repeat(["x", "y", "z", "v"], 4), np.array(["a"] * 15 + ["b"])
    with pytest.raises(BadData, match="'b' is in 1 of 4 groups"):
        split.parts(labels, Training(), rows=16, groups=people)

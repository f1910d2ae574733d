"""Columns side by side, categories as numbers."""

from __future__ import annotations

import numpy as np
import pytest

from onnxpress.core import processing
from onnxpress.core.processing import apply


def test_stacked_whole_numbers_stay_whole_and_others_take_the_dtype() -> None:
    step = processing.Stack(inputs=["a", "b"], output="y")
    whole = apply([step], {"a": np.array([1, 2]), "b": np.array([3, 4])})["y"]
    assert (whole.dtype, whole.tolist()) == (np.int64, [[1, 3], [2, 4]])
    mixed = apply([step], {"a": np.array([1.5, 2.5], np.float32), "b": np.array([3, 4])}, dtype="float64")["y"]
    assert (mixed.dtype, mixed.tolist()) == (np.float64, [[1.5, 3.0], [2.5, 4.0]])


def test_concatenate_joins_the_last_axis() -> None:
    step = processing.Concatenate(inputs=["a", "b"], output="y")
    got = apply([step], {"a": np.array([[1], [2]]), "b": np.array([[3.0, 4.0], [5.0, 6.0]])})["y"]
    assert (got.dtype, got.tolist()) == (np.float32, [[1.0, 3.0, 4.0], [2.0, 5.0, 6.0]])


def test_squeeze_drops_a_last_axis_of_one() -> None:
    step = processing.Squeeze(input="x", output="y")
    assert apply([step], {"x": np.array([[1.5], [2.5]], np.float32)}, dtype="float64")["y"].dtype == np.float64
    assert apply([step], {"x": np.array([["a"], ["b"]], object)})["y"].tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="squeeze"):
        apply([step], {"x": np.zeros((2, 3))})


def test_a_category_is_its_place_and_every_other_is_0() -> None:
    step = processing.Lookup(input="x", output="y", values=["red", "green"])
    got = apply([step], {"x": np.array([["green", "blue"], ["", "red"]], object)})["y"]
    assert (got.dtype, got.tolist()) == (np.int64, [[2, 0], [0, 1]])


def test_one_hot_is_empty_for_a_number_outside() -> None:
    got = apply([processing.OneHot(input="x", output="y", size=3)], {"x": np.array([0, 2, 3, -1])})["y"]
    assert (got.dtype, got.tolist()) == (np.float32, [[1, 0, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]])


def test_a_vocabulary_has_each_value_once() -> None:
    with pytest.raises(ValueError, match="values is empty"):
        processing.Lookup(input="x", output="y", values=[])
    with pytest.raises(ValueError, match="values has 'a' twice"):
        processing.Lookup(input="x", output="y", values=["a", "b", "a"])


def test_impute_replaces_nan_alone() -> None:
    step = processing.Impute(input="x", output="y", values=[7.0, 8.0])
    got = apply([step], {"x": np.array([[np.nan, 1.0], [np.inf, np.nan]], np.float32)})["y"]
    assert got.tolist() == [[7.0, 1.0], [np.inf, 8.0]]
    with pytest.raises(ValueError, match="value 1 is nan"):
        processing.Impute(input="x", output="y", values=[0.0, float("nan")])

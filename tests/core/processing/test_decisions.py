"""Scores to probabilities, decisions and labels: each step against its formula in plain Python."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from onnxpress.core import processing
from onnxpress.core.processing import Step, apply, raw_inputs

scores = arrays.arrays(
    np.float32, st.tuples(st.integers(0, 4), st.integers(1, 5)), elements=st.floats(-80, 80, width=32)
)


def answer(step: Step, value: Any, dtype: str = "float64") -> np.ndarray:
    return apply([step], {"x": np.asarray(value)}, dtype=dtype)["y"]


@given(scores)
def test_softmax_is_the_share_of_the_exponentials(x: np.ndarray) -> None:
    got = answer(processing.Softmax(input="x", output="y"), x)
    want = [
        [math.exp(v - max(row)) / math.fsum(math.exp(w - max(row)) for w in row) for v in row] for row in x.tolist()
    ]
    np.testing.assert_allclose(got, np.array(want).reshape(x.shape), rtol=1e-12)


def test_softmax_of_large_scores_is_no_nan() -> None:
    got = answer(processing.Softmax(input="x", output="y"), np.array([[1e4, -1e4]], np.float32), "float32")
    assert got.dtype == np.float32
    assert got.tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize("x", [-1000.0, -2.0, 0.0, 3.5, 1000.0])
def test_sigmoid_does_not_overflow_on_either_side(x: float) -> None:
    want = 1 / (1 + math.exp(-x)) if x > -700 else 0.0
    assert answer(processing.Sigmoid(input="x", output="y"), [x])[0] == pytest.approx(want, rel=1e-12)


def test_platt_is_the_sigmoid_of_a_line() -> None:
    step = processing.Platt(input="x", output="y", slope=-2.0, intercept=0.5)
    assert answer(step, [0.25, 1.0]).tolist() == pytest.approx([0.5, 1 / (1 + math.exp(1.5))])


def test_temperature_divides() -> None:
    assert answer(processing.Temperature(input="x", output="y", temperature=4.0), [[2.0, -8.0]]).tolist() == [
        [0.5, -2.0]
    ]


def test_isotonic_follows_its_knots_and_is_constant_outside() -> None:
    step = processing.Isotonic(input="x", output="y", x=[0.0, 1.0, 3.0], y=[0.25, 0.5, 1.0])
    assert answer(step, [-7.0, 0.0, 0.5, 1.0, 2.0, 3.0, 9.0]).tolist() == [0.25, 0.25, 0.375, 0.5, 0.75, 1.0, 1.0]


@pytest.mark.parametrize(
    ("x", "y", "says"),
    [
        ([0.0], [0.0], "1 knots in x and 1 in y"),
        ([0.0, 1.0], [0.0], "2 knots in x and 1 in y"),
        ([0.0, 0.0], [0.0, 1.0], "must ascend"),
        ([0.0, math.inf], [0.0, 1.0], "knot 1 is inf"),
    ],
)
def test_knots_that_make_no_line_are_refused(x: list[float], y: list[float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        processing.Isotonic(input="x", output="y", x=x, y=y)


def test_any_of_is_true_where_a_flag_is() -> None:
    step = processing.AnyOf(inputs=["a", "b"], output="y")
    got = apply([step], {"a": np.array([True, False, False]), "b": np.array([True, True, False])})["y"]
    assert got.dtype == np.bool_
    assert got.tolist() == [True, True, False]


def test_label_is_that_of_the_first_highest_score() -> None:
    step = processing.Label(input="x", output="y", labels=["low", "high"])
    assert answer(step, np.array([[1.0, 2.0], [2.0, 1.0], [3.0, 3.0]])).tolist() == ["high", "low", "low"]


def test_binary_label_names_false_first() -> None:
    step = processing.BinaryLabel(input="x", output="y", labels=["usual", "odd"])
    assert answer(step, np.array([[True], [False]])).tolist() == [["odd"], ["usual"]]


def test_maximum_is_over_the_last_axis() -> None:
    got = answer(processing.Maximum(input="x", output="y"), np.array([[1.0, 4.0], [-3.0, -5.0]]), "float32")
    assert got.dtype == np.float32
    assert got.tolist() == [4.0, -3.0]


def test_pick_takes_one_column() -> None:
    got = answer(processing.Pick(input="x", output="y", column=1), np.array([[1.0, 4.0], [-3.0, -5.0]]), "float32")
    assert got.dtype == np.float32
    assert got.tolist() == [4.0, -5.0]


def test_top_k_gives_the_best_labels_and_their_scores_and_of_equals_the_first() -> None:
    step = processing.TopK(input="x", output="y", labels=["a", "b", "c"], k=2, scores="s")
    known = apply([step], {"x": np.array([[0.1, 0.7, 0.2], [0.5, 0.5, 0.0]])}, dtype="float64")
    assert known["y"].tolist() == [["b", "c"], ["a", "b"]]
    assert known["s"].tolist() == [[0.7, 0.2], [0.5, 0.5]]
    assert step.makes == ["y", "s"]


def test_labels_must_be_there_and_differ() -> None:
    with pytest.raises(ValueError, match="labels is empty"):
        processing.Label(input="x", output="y", labels=[])
    with pytest.raises(ValueError, match="has 'a' twice"):
        processing.TopK(input="x", output="y", labels=["a", "b", "a"], k=1, scores="s")
    with pytest.raises(ValueError, match="the best 3 of 2 labels"):
        processing.TopK(input="x", output="y", labels=["a", "b"], k=3, scores="s")


def test_what_steps_read_that_none_before_makes_are_the_raw_inputs() -> None:
    steps: list[Step] = [
        processing.Stack(inputs=["age", "height"], output="columns"),
        processing.MeanSquaredError(input="columns", target="rebuilt", output="score"),
        processing.Threshold(input="score", output="flag", value=1.0),
        processing.AnyOf(inputs=["flag", "age"], output="any"),
    ]
    assert raw_inputs(steps) == ["age", "height", "rebuilt"]

"""An isolation forest's score against the paper's formula, walked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from onnxpress.core.processing import IsolationForest, apply
from onnxpress.core.processing.forest import Tree, average_path

STUMP = Tree(feature=[0, -1, -1], cut=[0.5, 0.0, 0.0], left=[1, 0, 0], right=[2, 0, 0], value=[0.0, 1.0, 3.0])
DEEP = Tree(
    feature=[1, -1, 0, -1, -1],
    cut=[0.0, 0.0, 2.0, 0.0, 0.0],
    left=[1, 0, 3, 0, 0],
    right=[2, 0, 4, 0, 0],
    value=[0.0, 1.0, 0.0, 2.0, 4.0],
)


@pytest.mark.parametrize(("rows", "path"), [(0, 0.0), (1, 0.0), (2, 1.0)])
def test_the_average_path_of_few_rows(rows: int, path: float) -> None:
    assert average_path(rows) == path


def test_the_average_path_of_many_rows_is_that_of_harmonic_numbers() -> None:
    """2 H(n - 1) - 2 (n - 1) / n, with the paper's H(i) = ln i + 0.5772."""
    harmonic = sum(1 / i for i in range(1, 256))
    assert average_path(256) == pytest.approx(2 * harmonic - 2 * 255 / 256, abs=0.01)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_score_is_two_to_the_minus_mean_path_over_average_path(dtype: str) -> None:
    step = IsolationForest(input="x", output="y", trees=[STUMP, DEEP], rows=8)
    rows = np.array([[0.5, -1.0], [0.6, -1.0], [0.6, 0.5], [9.0, 0.5]], np.float32)
    got = apply([step], {"x": rows}, dtype=dtype)["y"]
    paths = [(1.0 + 1.0) / 2, (3.0 + 1.0) / 2, (3.0 + 2.0) / 2, (3.0 + 4.0) / 2]
    assert got.dtype == dtype
    np.testing.assert_allclose(got, [math.pow(2, -path / average_path(8)) for path in paths], rtol=1e-6)


def test_no_rows_give_no_scores() -> None:
    step = IsolationForest(input="x", output="y", trees=[STUMP], rows=8)
    assert apply([step], {"x": np.zeros((0, 1), np.float32)})["y"].shape == (0,)

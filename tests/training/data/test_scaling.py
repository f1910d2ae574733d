"""Training rows come to lie in [0, 1]; constants are exact float32; the inverse gives raw units back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from onnxpress.core.errors import BadData
from onnxpress.training.data import scaling

ROWS = st_numpy.arrays(
    np.float32,
    st.tuples(st.integers(2, 20), st.integers(1, 5)),
    elements=st.floats(-1e6, 1e6, width=32, allow_subnormal=True),
)


def fitted(x: np.ndarray) -> scaling.Scale:  # type: ignore[type-arg]
    return scaling.min_max(x, [f"c{column}" for column in range(x.shape[1])], raw="raw", scaled="scaled")


@given(x=ROWS)
def test_rows_it_was_fitted_on_lie_between_0_and_1(x: np.ndarray) -> None:  # type: ignore[type-arg]
    scaled = fitted(x).apply({"raw": x}, "float64")
    assert scaled.min() >= -1e-6
    assert scaled.max() <= 1 + 1e-6


@given(x=ROWS)
def test_every_constant_is_exact_in_float32(x: np.ndarray) -> None:  # type: ignore[type-arg]
    scale = fitted(x)
    unscale = scaling.inverse(scale, input="scaled", output="raw")
    for values in (scale.offset, scale.factor, unscale.offset, unscale.unit):
        assert np.array_equal(np.asarray(values), np.asarray(values, np.float32).astype(np.float64))


@given(x=ROWS)
def test_the_inverse_gives_raw_units_back(x: np.ndarray) -> None:  # type: ignore[type-arg]
    scale = fitted(x)
    scaled = scale.apply({"raw": x}, "float64")
    back = scaling.inverse(scale, input="scaled", output="raw").apply({"scaled": scaled}, "float64")
    # Two roundings of the factor to float32, each half a unit in the last place, times the column's range.
    span = x.max(axis=0).astype(np.float64) - x.min(axis=0)
    assert (np.abs(back - x) <= span * 2**-23 + 1e-35).all()


def test_a_constant_column_becomes_0_and_stays_in_raw_units() -> None:
    x = np.full((5, 1), 7.25, np.float32)
    scale = fitted(x)
    assert scale.apply({"raw": x}, "float32").tolist() == [[0.0]] * 5
    assert scale.apply({"raw": x + 1}, "float32").tolist() == [[1.0]] * 5


def test_a_range_below_the_normal_numbers_counts_as_constant() -> None:
    tiny = np.array([[0.0], [1e-45]], np.float32)
    assert fitted(tiny).factor == [1.0]


def test_a_range_that_float32_cannot_divide_by_is_refused() -> None:
    x = np.array([[0, -3e38], [1, 3e38]], np.float32)
    with pytest.raises(BadData, match="the range of c1 is too wide"):
        fitted(x)

"""erf is Python's own, for arrays."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.export.equivalence.evaluator.error_function import erf


@given(st.floats(allow_nan=False))
def test_it_is_the_error_function(x: float) -> None:
    found = float(erf(np.array([x]))[0])
    assert found == math.erf(x) or abs(found - math.erf(x)) <= 4e-16 * max(abs(math.erf(x)), 1e-300)


def test_nan_stays_nan_and_the_shape_is_kept() -> None:
    found = erf(np.array([[math.nan, 0.0], [-math.inf, 0.5]], np.float32))
    assert found.shape == (2, 2)
    assert math.isnan(found[0, 0])
    assert (found[0, 1], found[1, 0]) == (0.0, -1.0)

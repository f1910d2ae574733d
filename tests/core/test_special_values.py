"""NaN and infinity are refused where the signature says so, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from onnxpress.core.special_values import refused
from onnxpress.core.tensors import Special, TensorSpec


@pytest.mark.parametrize("refuses", [(), ("nan",), ("infinity",), ("nan", "infinity")])
@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, -np.inf])
def test_a_value_is_refused_where_the_signature_says_so(refuses: tuple[Special, ...], value: float) -> None:
    spec = TensorSpec(name="x", dtype="float32", shape=("batch", 2), refuses=refuses)
    kind = "nan" if np.isnan(value) else "infinity" if np.isinf(value) else ""
    what = refused(spec, np.array([[1.0, value]], np.float32))
    assert bool(what) == (kind in refuses)
    assert not what or "'x'" in what
